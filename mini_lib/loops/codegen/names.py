"""C identifiers for the names of a program; names reserved by C, its headers or our own helpers are changed."""

import re

from mini_lib.loops.ir import Program, all_loops

_KEYWORDS = """
    alignas alignof asm auto bool break case char const constexpr continue default do double else enum extern false
    float for goto if inline int long nullptr register restrict return short signed sizeof static static_assert struct
    switch thread_local true typedef typeof typeof_unqual union unsigned void volatile while
"""
# macros that do not look like macros; those that do (_x, X_Y) are found by their form
_MACROS = """
    linux unix i386 i486 i586 i686 arm sun sparc mips vax hpux sgi vector pixel WIN32 WIN64 WINNT MSDOS
    NULL EOF NAN INFINITY SNAN SNANF SNANL HUGE MAXFLOAT DOMAIN SING OVERFLOW UNDERFLOW PLOSS TLOSS BUFSIZ assert errno
    complex imaginary I stdin stdout stderr offsetof setjmp
"""
_MATH = """
    acos asin atan atan2 cos sin tan acosh asinh atanh cosh sinh tanh exp exp2 exp10 pow10 expm1 frexp ldexp log
    log10 log1p log2 logb modf pow sqrt cbrt hypot erf erfc tgamma lgamma lgamma_r gamma ceil floor nearbyint rint lrint
    llrint round lround llround roundeven trunc fmod remainder remquo drem copysign nan nextafter nexttoward nextup
    nextdown fdim fmax fmin fma fabs ilogb llogb scalb scalbn scalbln significand finite isinf isnan j0 j1 jn y0 y1 yn
    sincos signgam fpclassify isfinite isnormal signbit isgreater isgreaterequal isless islessequal islessgreater
    isunordered issignaling iscanonical iseqsig issubnormal iszero fromfp ufromfp fromfpx ufromfpx fmaxmag fminmag
    canonicalize getpayload setpayload setpayloadsig totalorder totalordermag fadd fdiv fmul fsub ffma fsqrt dadd ddiv
    dmul dsub dfma dsqrt math_errhandling lgammaf_r lgammal_r fmaximum fminimum float_t double_t rinttol rintorm
"""
# the rest of the standard library: compilers insert calls of some of these, and link the others
_LIBRARY = """
    abort abs aligned_alloc alloca atexit atof atoi atol atoll bcmp bcopy bsearch bzero calloc clearerr clock ctime
    difftime div exit fclose feof ferror fflush ffs fgetc fgetpos fgets fopen fork fprintf fputc fputs fread free
    freopen fscanf fseek fsetpos ftell fwrite getc getchar getenv gets gmtime index isalnum isalpha isblank iscntrl
    isdigit isgraph islower isprint ispunct isspace isupper isxdigit kill labs ldiv llabs lldiv localeconv localtime
    longjmp main malloc mblen mbstowcs mbtowc memccpy memchr memcmp memcpy memmove mempcpy memset mktime open pause
    perror pipe posix_memalign printf putc putchar puts qsort raise rand read realloc remove rename rewind rindex
    scanf select send setbuf setlocale setvbuf signal sleep snprintf socket sprintf srand sscanf stat stpcpy
    strcasecmp strcat strchr strcmp strcoll strcpy strcspn strdup strerror strftime strlen strncasecmp strncat strncmp
    strncpy strndup strnlen strpbrk strrchr strspn strstr strtod strtof strtok strtol strtold strtoll strtoul strtoull
    strxfrm system time times tmpfile tmpnam toascii tolower toupper ungetc va_arg vfprintf vprintf vscanf vsnprintf
    vsprintf wait wcslen wcstombs wctomb write
"""
RESERVED = frozenset((_KEYWORDS + _MACROS + _LIBRARY).split()) | {"INLINE", "state_"}
RESERVED |= {name + end for name in _MATH.split() for end in ("", "f", "l")}
OWN = re.compile(r"(max|min|exp|load|store|spread|floor|touch)_\w+|[fiu]\d+x\d+(_at)?|u?int\w*_t|cachesim\w*")
LIKE_A_MACRO = re.compile(r"[A-Z0-9]+_[A-Z0-9_]*")


class Names:
    """A C identifier for every name: `m.o` becomes `m_o`, and a name that is taken gets a number."""

    def __init__(self, program: Program, prefix: str = "") -> None:
        self._taken: set[str] = set()
        self._found: dict[str, str] = {}
        self._copies: dict[str, int] = {}
        self.function = self.fresh(prefix + program.name)
        for buffer in program.buffers:
            self._found[buffer.name] = self.fresh(prefix + buffer.name)
        for name in (name for loop in all_loops(program.body) for name in loop.variables):
            if name not in self._found:
                self._found[name] = self.fresh(name)

    def __getitem__(self, name: str) -> str:
        return self._found[name]

    def fresh(self, wanted: str) -> str:
        """An identifier that nothing else uses, as close to `wanted` as possible."""
        name = re.sub(r"\W", "_", wanted, flags=re.ASCII)
        if not name[:1].isalpha():  # names with an underscore at the start are reserved for the compiler
            name = "x" + name
        if name in RESERVED or OWN.fullmatch(name) or LIKE_A_MACRO.fullmatch(name):
            name += "_"
        free = name
        while free in self._taken:
            self._copies[name] = self._copies.get(name, 1) + 1
            free = f"{name}_{self._copies[name]}"
        self._taken.add(free)
        return free
