"""A chain in the manner of DEFER, written afresh, for comparison.

One process per board runs Keras `predict` on a sub-model; between boards an array is coded by lossless ZFP as it is, four
dimensions and all, then by LZ4, and sent over TCP behind its length. A board has a thread that receives and decodes and one
that computes, encodes and sends, with a queue between them. The cuts are those of the chain it is compared with, each moved
to the nearest Keras layer through which everything passes, for such a chain cannot cut elsewhere.

Source: Parthasarathy, Krishnamachari, "DEFER: Distributed Edge Inference for Deep Neural Networks", 2022. Unlike there, weights
do not travel, which is not measured; a frame's end of stream is told; and nothing waits in polling loops.
"""
