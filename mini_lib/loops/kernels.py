"""The kernels that the lessons schedule: each is a plain function of arrays and sizes, read as a nest.

A loop nest of every function here can also be run as it stands, on numpy arrays: `exp`, `max` and `min` are Python's.
"""

from math import exp

from mini_lib.loops.nest import Nest, nest


def _matmul(C, A, B, M, N, K):
    for m in range(M):
        for n in range(N):
            for k in range(K):
                C[m, n] += A[m, k] * B[k, n]


def matmul(m: int, n: int, k: int, dtype: str = "f32") -> Nest:
    """`C += A @ B`: C is m x n, A is m x k, B is k x n.

    >>> print(matmul(4, 8, 2))
    for m in range(4):
        for n in range(8):
            for k in range(2):
                C[m, n] += A[m, k] * B[k, n]
    """
    return _named("matmul", nest(_matmul, dtype=dtype, M=m, N=n, K=k))


def _conv2d(Y, X, W, OUT, IN, H, V, K):
    for o in range(OUT):
        for y in range(H):
            for x in range(V):
                for c in range(IN):
                    for dy in range(K):
                        for dx in range(K):
                            Y[o, y, x] += X[c, y + dy, x + dx] * W[o, c, dy, dx]


def conv2d(outputs: int, inputs: int, height: int, width: int, kernel: int = 3, dtype: str = "f32") -> Nest:
    """A 2-d convolution without padding: Y is outputs x height x width, X larger by kernel - 1 on each side axis.

    >>> [(buffer.name, buffer.shape) for buffer in conv2d(8, 3, 6, 6).buffers]
    [('Y', (8, 6, 6)), ('X', (3, 8, 8)), ('W', (8, 3, 3, 3))]
    """
    sizes = {"OUT": outputs, "IN": inputs, "H": height, "V": width, "K": kernel}
    return _named("conv2d", nest(_conv2d, dtype=dtype, **sizes))


def _depthwise_conv2d(Y, X, W, C, H, V, K):
    for c in range(C):
        for y in range(H):
            for x in range(V):
                for dy in range(K):
                    for dx in range(K):
                        Y[c, y, x] += X[c, y + dy, x + dx] * W[c, dy, dx]


def depthwise_conv2d(channels: int, height: int, width: int, kernel: int = 3, dtype: str = "f32") -> Nest:
    """A convolution in which each output channel reads only one input channel; sizes as for conv2d.

    >>> [(buffer.name, buffer.shape) for buffer in depthwise_conv2d(8, 6, 6).buffers]
    [('Y', (8, 6, 6)), ('X', (8, 8, 8)), ('W', (8, 3, 3))]
    """
    sizes = {"C": channels, "H": height, "V": width, "K": kernel}
    return _named("depthwise_conv2d", nest(_depthwise_conv2d, dtype=dtype, **sizes))


def _transpose(B, A, M, N):
    for m in range(M):
        for n in range(N):
            B[n, m] = A[m, n]


def transpose(m: int, n: int, dtype: str = "f32") -> Nest:
    """`B = A.T`: A is m x n.

    >>> print(transpose(4, 8))
    for m in range(4):
        for n in range(8):
            B[n, m] = A[m, n]
    """
    return _named("transpose", nest(_transpose, dtype=dtype, M=m, N=n))


def _jacobi(B, A, M, N):
    for i in range(1, M - 1):
        for j in range(1, N - 1):
            B[i, j] = 0.25 * (A[i - 1, j] + A[i + 1, j] + A[i, j - 1] + A[i, j + 1])


def jacobi(m: int, n: int, dtype: str = "f32") -> Nest:
    """One sweep of a stencil into another array: each inner element becomes the mean of its four neighbours.

    >>> jacobi(8, 8).loop_names
    ('i', 'j')
    """
    shapes = {"A": (m, n), "B": (m, n)}
    return _named("jacobi", nest(_jacobi, dtype=dtype, shapes=shapes, M=m, N=n))


def _gauss_seidel(A, M, N):
    for i in range(1, M):
        for j in range(0, N - 1):
            A[i, j] = 0.5 * (A[i, j] + A[i - 1, j + 1])


def gauss_seidel(m: int, n: int, dtype: str = "f32") -> Nest:
    """A stencil in place: each element is updated from its neighbour above and to the right, which is already new.

    Its dependence has the distance (1, -1): interchanging the loops is illegal, but legal after skewing.

    >>> gauss_seidel(8, 8).reorder("j i")  # doctest: +IGNORE_EXCEPTION_DETAIL
    Traceback (most recent call last):
    mini_lib.loops.legality.violation.IllegalRewrite: the reader would run before the writer
    >>> gauss_seidel(8, 8).skew("j", by="i").reorder("j.s i").loop_names
    ('j.s', 'i')
    """
    return _named("gauss_seidel", nest(_gauss_seidel, dtype=dtype, M=m, N=n))


def _softmax(Y, X, E, H, S, M, N):
    for a in range(M):
        H[a] = X[a, 0]
    for b in range(M):
        for c in range(N):
            H[b] = max(H[b], X[b, c])
    for d in range(M):
        S[d] = 0
    for e in range(M):
        for f in range(N):
            E[e, f] = exp(X[e, f] - H[e])
    for g in range(M):
        for h in range(N):
            S[g] += E[g, h]
    for i in range(M):
        for j in range(N):
            Y[i, j] = E[i, j] / S[i]


def softmax(m: int, n: int, dtype: str = "f32") -> Nest:
    """The softmax of each of m rows of n, as a chain of nests: maximum, exponentials, sum, division.

    >>> softmax(4, 8).outputs
    ('Y',)
    """
    return _named("softmax", nest(_softmax, dtype=dtype, temporaries=("E", "H", "S"), M=m, N=n))


def _pointwise_chain(Y, X, T, N):
    for i in range(N):
        T[i] = X[i] * 2
    for j in range(N):
        Y[j] = max(T[j] + 1, 0)


def pointwise_chain(n: int, dtype: str = "f32") -> Nest:
    """A scale, then a shift with a ReLU, each in a nest of its own, with all of T written and read between them.

    >>> print(pointwise_chain(4))
    for i in range(4):
        T[i] = X[i] * 2
    for j in range(4):
        Y[j] = max(T[j] + 1, 0)
    """
    return _named("pointwise_chain", nest(_pointwise_chain, dtype=dtype, temporaries=("T",), N=n))


def _mttkrp(D, B, A, C, I, J, K, L):  # noqa: E741
    for i in range(I):
        for k in range(K):
            for l in range(L):  # noqa: E741
                for j in range(J):
                    D[i, j] += B[i, k, l] * A[k, j] * C[l, j]


def mttkrp(i: int, j: int, k: int, l: int, dtype: str = "f32") -> Nest:  # noqa: E741
    """`D[i, j] += B[i, k, l] * A[k, j] * C[l, j]`: a tensor times two matrices, the heart of a CP decomposition.

    Source: Kolda and Bader, "Tensor decompositions and applications", SIAM Review 2009, section 3.4.

    >>> mttkrp(2, 3, 4, 5).loop_names
    ('i', 'k', 'l', 'j')
    """
    return _named("mttkrp", nest(_mttkrp, dtype=dtype, I=i, J=j, K=k, L=l))


def _reduction(s, x, N):
    for i in range(N):
        s[0] += x[i]


def reduction(n: int, dtype: str = "f32") -> Nest:
    """The sum of n elements.

    >>> print(reduction(8))
    for i in range(8):
        s[0] += x[i]
    """
    return _named("reduction", nest(_reduction, dtype=dtype, N=n))


def _named(name: str, program: Nest) -> Nest:
    return Nest(name, program.buffers, program.body)
