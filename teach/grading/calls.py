"""The calls of the Linux kernel that a submission may make, by what they are for. All others are refused.

A list of what is allowed, since every version of the kernel brings new calls: a list of what is harmful is never whole.
Numbers are (x86_64, aarch64), None where the call does not exist.
Source: asm/unistd_64.h and asm-generic/unistd.h of the kernel.
"""

ALLOWED = {
    # what is open
    "read": (0, 63), "write": (1, 64), "close": (3, 57), "lseek": (8, 62), "pread64": (17, 67), "pwrite64": (18, 68),
    "readv": (19, 65), "writev": (20, 66), "preadv": (295, 69), "pwritev": (296, 70), "preadv2": (327, 286),
    "pwritev2": (328, 287), "sendfile": (40, 71), "copy_file_range": (326, 285), "ftruncate": (77, 46),
    "fsync": (74, 82), "fdatasync": (75, 83), "fadvise64": (221, 223), "flock": (73, 32),
    "dup": (32, 23), "dup2": (33, None), "dup3": (292, 24), "pipe": (22, None),
    "pipe2": (293, 59),
    # files and folders: Landlock says which
    "creat": (85, None), "stat": (4, None), "fstat": (5, 80), "lstat": (6, None), "newfstatat": (262, 79),
    "statx": (332, 291), "statfs": (137, 43), "fstatfs": (138, 44), "access": (21, None), "faccessat": (269, 48),
    "faccessat2": (439, 439), "readlink": (89, None), "readlinkat": (267, 78), "getdents": (78, None),
    "getdents64": (217, 61), "getcwd": (79, 17), "chdir": (80, 49), "fchdir": (81, 50), "mkdir": (83, None),
    "mkdirat": (258, 34), "rmdir": (84, None), "unlink": (87, None), "unlinkat": (263, 35), "rename": (82, None),
    "renameat": (264, 38), "renameat2": (316, 276), "link": (86, None), "linkat": (265, 37), "symlink": (88, None),
    "symlinkat": (266, 36), "umask": (95, 166), "getxattr": (191, 8), "lgetxattr": (192, 9), "fgetxattr": (193, 10),
    "listxattr": (194, 11), "llistxattr": (195, 12), "flistxattr": (196, 13),
    # memory: counted by RLIMIT_AS
    "brk": (12, 214), "mmap": (9, 222), "munmap": (11, 215), "mremap": (25, 216), "mprotect": (10, 226),
    "madvise": (28, 233), "msync": (26, 227), "membarrier": (324, 283), "get_mempolicy": (239, 236),
    # threads
    "exit": (60, 93), "exit_group": (231, 94), "futex": (202, 98), "futex_waitv": (449, 449),
    "set_robust_list": (273, 99), "set_tid_address": (218, 96), "rseq": (334, 293), "gettid": (186, 178),
    "sched_yield": (24, 124), "sched_getaffinity": (204, 123), "sched_getparam": (143, 121),
    "sched_getscheduler": (145, 120), "sched_get_priority_max": (146, 125), "sched_get_priority_min": (147, 126),
    "getcpu": (309, 168), "getpriority": (140, 141),
    # time
    "time": (201, None), "gettimeofday": (96, 169), "clock_gettime": (228, 113), "clock_getres": (229, 114),
    "clock_nanosleep": (230, 115), "nanosleep": (35, 101), "times": (100, 153), "alarm": (37, None),
    "getitimer": (36, 102), "setitimer": (38, 103), "timerfd_create": (283, 85), "timerfd_settime": (286, 86),
    "timerfd_gettime": (287, 87), "pause": (34, None), "restart_syscall": (219, 128),
    # how signals are received
    "rt_sigaction": (13, 134), "rt_sigprocmask": (14, 135), "rt_sigreturn": (15, 139), "rt_sigpending": (127, 136),
    "rt_sigtimedwait": (128, 137), "rt_sigsuspend": (130, 133), "sigaltstack": (131, 132), "signalfd": (282, None),
    "signalfd4": (289, 74),
    # waiting
    "poll": (7, None), "ppoll": (271, 73), "select": (23, None), "pselect6": (270, 72), "epoll_create": (213, None),
    "epoll_create1": (291, 20), "epoll_ctl": (233, 21), "epoll_wait": (232, None), "epoll_pwait": (281, 22),
    "epoll_pwait2": (441, 441), "eventfd": (284, None), "eventfd2": (290, 19), "wait4": (61, 260),
    "waitid": (247, 95),
    # a pair of sockets, as asyncio has
    "recvfrom": (45, 207), "shutdown": (48, 210), "getsockname": (51, 204), "getpeername": (52, 205),
    "getsockopt": (55, 209),
    # questions
    "getpid": (39, 172), "getppid": (110, 173), "getuid": (102, 174), "geteuid": (107, 175), "getgid": (104, 176),
    "getegid": (108, 177), "getgroups": (115, 158), "getresuid": (118, 148), "getresgid": (120, 150),
    "getpgrp": (111, None), "getpgid": (121, 155), "getsid": (124, 156), "getrlimit": (97, 163),
    "getrusage": (98, 165), "sysinfo": (99, 179), "uname": (63, 160), "getrandom": (318, 278), "capget": (125, 90),
}  # fmt: skip
# These change modes and times, for whatever file. They do nothing, and say that they did it: an honest shutil.copy and
# many a library call them on the learner's own files.
WITHOUT_EFFECT = {
    "chmod": (90, None), "fchmod": (91, 52), "fchmodat": (268, 53), "fchmodat2": (452, 452), "utime": (132, None),
    "utimes": (235, None), "futimesat": (261, None), "utimensat": (280, 88),
}  # fmt: skip
ON_ITSELF = {"kill": (62, 129), "tgkill": (234, 131), "prlimit64": (302, 261)}  # the first argument is the process
OPEN = {"open": (2, None), "openat": (257, 56)}
CLONE, CLONE3 = (56, 220), (435, 435)
SENDTO = (44, 206)
# It would fill the disk faster than anybody looks. "Not on this disk" makes the C library write zeros instead.
FALLOCATE = (285, 47)

# Calls that do many things, with what they may do: the argument that says what, counted from 0, and its values.
SOCKETPAIR, FCNTL, IOCTL, PRCTL, CLOSE_RANGE = (53, 199), (72, 25), (16, 29), (157, 167), (436, 436)
UNIX_SOCKET = 1
# F_SETFL is allowed without O_ASYNC; F_SETOWN, F_SETSIG, F_SETLEASE and F_NOTIFY make the kernel send signals.
DUPLICATE, GET_CLOSING, SET_CLOSING, GET_FLAGS, SET_FLAGS, DUPLICATE_CLOSING, PIPE_SIZE = 0, 1, 2, 3, 4, 1030, 1032
LOCKS = (5, 6, 7, 36, 37, 38)
# Whether it is a terminal and how wide, how much there is to read, closed by exec, waiting or not.
TERMINAL, TERMINAL_2, WIDTH, READABLE, WAITING, CLOSING, NOT_CLOSING = (
    0x5401, 0x802C542A, 0x5413, 0x541B, 0x5421, 0x5451, 0x5450,
)  # fmt: skip
# A thread's name, a name for memory, and questions. Not: whose end ends it, who may look into it.
SET_NAME, GET_NAME, NAME_MEMORY, ASK_DUMPABLE, ASK_SECCOMP, ASK_CAPABILITY, ASK_PRIVILEGES = (
    15, 16, 0x53564D41, 3, 21, 23, 39,
)  # fmt: skip
# Not: a table of open files of a thread's own, where nobody sees them.
AT_ONCE, BY_EXEC = 0, 4
SELECTED = {
    "socketpair": (SOCKETPAIR, 0, (UNIX_SOCKET,)),
    "fcntl": (FCNTL, 1, (DUPLICATE, GET_CLOSING, SET_CLOSING, GET_FLAGS, DUPLICATE_CLOSING, PIPE_SIZE, *LOCKS)),
    "close_range": (CLOSE_RANGE, 2, (AT_ONCE, BY_EXEC)),
    "ioctl": (IOCTL, 1, (TERMINAL, TERMINAL_2, WIDTH, READABLE, WAITING, CLOSING, NOT_CLOSING)),
    "prctl": (PRCTL, 0, (SET_NAME, GET_NAME, NAME_MEMORY, ASK_DUMPABLE, ASK_SECCOMP, ASK_CAPABILITY, ASK_PRIVILEGES)),
}
LAST_KNOWN = 461  # calls above it are younger than this list: "no such call", so that libraries do without
