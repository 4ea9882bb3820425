"""The supplement's studies of the estimator, one module each: numbers and a figure.

`tsne`: how the estimates of one picture are distributed. `consecutive`: which of two blurs they follow.
`quantization`: how small a cross shows the blur, with and without 8 bits. `compare`: results side by side.
"""
