"""The grader: a folder of submitted notebooks in, a table and a readable report out.

The grader's own process never runs a learner's code and never unpickles anything. Three kinds of process share the
work:

    grader   reads the notebooks as JSON, judges the outcomes, writes the table and the report
    keeper   one for each job: starts a child for one submission, stops it in time, clears up after it
    child    runs the learner's cells and functions under limits; what they return leaves it as plain text

What this protects against: endless loops, crashes, memory hogs, floods of output, forks and left-over processes,
network access, deleted files, and notebooks that patch the checks. On Linux the kernel keeps these rules (seccomp,
Landlock, rlimits). On other systems Python's audit hook does, which a determined learner can get around, and on Windows
nothing limits the memory. The report says which of the two it was.

What it does not protect against: a submission can read whatever the teacher's account can read. It can hand back
mini_lib's own answers, copied under another name. It can keep one processor core busy for as long as its time limit,
and write any number of files of up to 64 MiB each into its own folder. It is not a hardened sandbox: grade a class that
you do not trust in a container or a virtual machine.
"""
