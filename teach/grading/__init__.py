"""The grader: a folder of submitted notebooks in, a table and a readable report out.

The grader's own process never runs a learner's code and never unpickles anything. Four kinds of process share the work:

    grader   reads the notebooks as JSON, judges the outcomes, writes the table and the report
    keeper   one for each job: has a child started for one submission, stops it in time, clears up after it
    nursery  forks the children (Linux); it sees no submission, so that none finds another in its memory
    child    runs the learner's cells and functions under limits; what they return leaves it as plain text

What this protects against: endless loops, crashes, memory hogs, floods of output, of threads and of files, forks and
left-over processes, signals to others, network access, files and modes changed or deleted, other submissions read, and
notebooks that patch the checks. On Linux the kernel keeps these rules: seccomp with a list of the calls that are
allowed, Landlock, rlimits; what none of these counts, the keeper looks at 10 times per second. Elsewhere Python's
audit hook keeps them, which a determined learner can get around; on Windows and macOS nothing limits the memory. The
report says what could not be held.

What it does not protect against: a submission can hand back mini_lib's own answers, copied under another name. It can
read the course's library, Python and the system's own files, and see whether a file exists that it cannot read. It can
keep its share of the processor busy for as long as its time limit. It can write 256 MiB into its own folder, and beyond
that what the disk takes in the tenth of a second until the keeper looks again. It is not a hardened sandbox: grade a
class that you do not trust in a container or a virtual machine.
"""
