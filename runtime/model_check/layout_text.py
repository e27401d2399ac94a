"""The layout of TFLite's schema, made by generate_layout.py: do not edit.

A line of TABLES is a table and its fields, name=slot:type. A type is a number as struct has it, a string, a table's name, one in
brackets for a vector, or a union's name and a question mark; the slot before a union's says which member it is.
"""

# ruff: noqa: E501
TABLES = """
ATan2Options
AbsOptions
AddNOptions
AddOptions FusedActivationFunction=4:b PotScaleInt16=6:?
ArgMaxOptions OutputType=4:b
ArgMinOptions OutputType=4:b
AssignVariableOptions
BatchMatMulOptions AdjX=4:? AdjY=6:? AsymmetricQuantizeInputs=8:?
BatchToSpaceNDOptions
BidirectionalSequenceLSTMOptions FusedActivationFunction=4:b CellClip=6:f ProjClip=8:f MergeOutputs=10:? TimeMajor=12:? AsymmetricQuantizeInputs=14:?
BidirectionalSequenceRNNOptions TimeMajor=4:? FusedActivationFunction=6:b MergeOutputs=8:? AsymmetricQuantizeInputs=10:?
BitcastOptions
BitwiseXorOptions
BlockwiseQuantization Scales=4:i ZeroPoints=6:i BlockSize=8:i BlockShape=10:[i]
BroadcastToOptions
BucketizeOptions Boundaries=4:[f]
Buffer Data=4:[B] Offset=6:Q Size=8:Q
CallOnceOptions InitSubgraphIndex=4:i
CallOptions Subgraph=4:I
CastOptions InDataType=4:b OutDataType=6:b
ConcatEmbeddingsOptions NumChannels=4:i NumColumnsPerChannel=6:[i] EmbeddingDimPerChannel=8:[i]
ConcatenationOptions Axis=4:i FusedActivationFunction=6:b
Conv2DOptions Padding=4:b StrideW=6:i StrideH=8:i FusedActivationFunction=10:b DilationWFactor=12:i DilationHFactor=14:i QuantizedBiasType=16:b
Conv3DOptions Padding=4:b StrideD=6:i StrideW=8:i StrideH=10:i FusedActivationFunction=12:b DilationDFactor=14:i DilationWFactor=16:i DilationHFactor=18:i
CosOptions
CumsumOptions Exclusive=4:? Reverse=6:?
CustomQuantization Custom=4:[B]
DensifyOptions
DepthToSpaceOptions BlockSize=4:i
DepthwiseConv2DOptions Padding=4:b StrideW=6:i StrideH=8:i DepthMultiplier=10:i FusedActivationFunction=12:b DilationWFactor=14:i DilationHFactor=16:i
DequantizeOptions
DilateOptions
DimensionMetadata Format=4:b DenseSize=6:i ArraySegmentsType=8:B ArraySegments=10:SparseIndexVector? ArrayIndicesType=12:B ArrayIndices=14:SparseIndexVector?
DivOptions FusedActivationFunction=4:b
DynamicUpdateSliceOptions
EmbeddingLookupSparseOptions Combiner=4:b
EqualOptions
ExpOptions
ExpandDimsOptions
ExternalBuffer Id=4:I Group=6:I Offset=8:Q Length=10:Q Packing=12:string
ExternalBufferGroup Name=4:string
FakeQuantOptions Min=4:f Max=6:f NumBits=8:i NarrowRange=10:?
FillOptions
FloorDivOptions
FloorModOptions
FullyConnectedOptions FusedActivationFunction=4:b WeightsFormat=6:b KeepNumDims=8:? AsymmetricQuantizeInputs=10:? QuantizedBiasType=12:b QuantSpec=14:[B]
GatherNdOptions
GatherOptions Axis=4:i BatchDims=6:i
GeluOptions Approximate=4:?
GreaterEqualOptions
GreaterOptions
HardSwishOptions
HashtableFindOptions
HashtableImportOptions
HashtableOptions TableId=4:i KeyDtype=6:b ValueDtype=8:b
HashtableSizeOptions
IfOptions ThenSubgraphIndex=4:i ElseSubgraphIndex=6:i
Int32Vector Values=4:[i]
L2NormOptions FusedActivationFunction=4:b
LSHProjectionOptions Type=4:b
LSTMOptions FusedActivationFunction=4:b CellClip=6:f ProjClip=8:f KernelType=10:b AsymmetricQuantizeInputs=12:?
LeakyReluOptions Alpha=4:f
LessEqualOptions
LessOptions
LocalResponseNormalizationOptions Radius=4:i Bias=6:f Alpha=8:f Beta=10:f
LogSoftmaxOptions
LogicalAndOptions
LogicalNotOptions
LogicalOrOptions
MatrixDiagOptions
MatrixSetDiagOptions
MaximumMinimumOptions
Metadata Name=4:string Buffer=6:I
MirrorPadOptions Mode=4:b
Model Version=4:I OperatorCodes=6:[OperatorCode] Subgraphs=8:[SubGraph] Description=10:string Buffers=12:[Buffer] MetadataBuffer=14:[i] Metadata=16:[Metadata] SignatureDefs=18:[SignatureDef] ExternalBufferGroups=20:[ExternalBufferGroup] ExternalBuffers=22:[ExternalBuffer]
MulOptions FusedActivationFunction=4:b
MultiAxisQuantization Scales=4:i ZeroPoints=6:i BlockSize=8:i QuantizedDimensions=10:[i]
NegOptions
NonMaxSuppressionV4Options
NonMaxSuppressionV5Options
NotEqualOptions
OneHotOptions Axis=4:i
Operator OpcodeIndex=4:I Inputs=6:[i] Outputs=8:[i] BuiltinOptionsType=10:B BuiltinOptions=12:BuiltinOptions? CustomOptions=14:[B] CustomOptionsFormat=16:b MutatingVariableInputs=18:[?] Intermediates=20:[i] LargeCustomOptionsOffset=22:Q LargeCustomOptionsSize=24:Q BuiltinOptions2Type=26:B BuiltinOptions2=28:BuiltinOptions2? DebugMetadataIndex=30:i
OperatorCode DeprecatedBuiltinCode=4:b CustomCode=6:string Version=8:i BuiltinCode=10:i
PackOptions ValuesCount=4:i Axis=6:i
PadOptions
PadV2Options
Pool2DOptions Padding=4:b StrideW=6:i StrideH=8:i FilterWidth=10:i FilterHeight=12:i FusedActivationFunction=14:b
PowOptions
QuantizationParameters Min=4:[f] Max=6:[f] Scale=8:[f] ZeroPoint=10:[q] DetailsType=12:B Details=14:QuantizationDetails? QuantizedDimension=16:i
QuantizeOptions
RNNOptions FusedActivationFunction=4:b AsymmetricQuantizeInputs=6:?
RandomOptions Seed=4:q Seed2=6:q
RangeOptions
RankOptions
ReadVariableOptions
ReduceWindowOptions ReduceFunction=4:i
ReducerOptions KeepDims=4:?
ReshapeOptions NewShape=4:[i]
ResizeBilinearOptions AlignCorners=8:? HalfPixelCenters=10:?
ResizeNearestNeighborOptions AlignCorners=4:? HalfPixelCenters=6:?
ReverseSequenceOptions SeqDim=4:i BatchDim=6:i
ReverseV2Options
Rfft2dOptions
RightShiftOptions
SVDFOptions Rank=4:i FusedActivationFunction=6:b AsymmetricQuantizeInputs=8:?
ScatterNdOptions
SegmentSumOptions
SelectOptions
SelectV2Options
SequenceRNNOptions TimeMajor=4:? FusedActivationFunction=6:b AsymmetricQuantizeInputs=8:?
ShapeOptions OutType=4:b
SignOptions
SignatureDef Inputs=4:[TensorMap] Outputs=6:[TensorMap] SignatureKey=8:string SubgraphIndex=12:I
SkipGramOptions NgramSize=4:i MaxSkipSize=6:i IncludeAllNgrams=8:?
SliceOptions
SoftmaxOptions Beta=4:f
SpaceToBatchNDOptions
SpaceToDepthOptions BlockSize=4:i
SparseToDenseOptions ValidateIndices=4:?
SparsityParameters TraversalOrder=4:[i] BlockMap=6:[i] DimMetadata=8:[DimensionMetadata]
SplitOptions NumSplits=4:i
SplitVOptions NumSplits=4:i
SquareOptions
SquaredDifferenceOptions
SqueezeOptions SqueezeDims=4:[i]
StableHLOCompositeOptions Name=4:string DecompositionSubgraphIndex=6:i CompositeAttributes=8:[B] CompositeAttributesFormat=10:b Version=12:i
StablehloBroadcastInDimOptions BroadcastDimensions=4:[q]
StablehloCaseOptions BranchSubgraphIndices=4:[i]
StablehloCompareOptions ComparisonDirection=4:I CompareType=6:I
StablehloConcatenateOptions Dimension=4:q
StablehloConvolutionOptions WindowStrides=4:[q] Padding=6:[q] LhsDilation=8:[q] RhsDilation=10:[q] WindowReversal=12:[?] InputBatchDimension=14:q InputFeatureDimension=16:q InputSpatialDimensions=18:[q] KernelInputFeatureDimension=20:q KernelOutputFeatureDimension=22:q KernelSpatialDimensions=24:[q] OutputBatchDimension=26:q OutputFeatureDimension=28:q OutputSpatialDimensions=30:[q] FeatureGroupCount=32:q BatchGroupCount=34:q PrecisionConfig=36:[I]
StablehloCustomCallOptions CallTargetName=4:string HasSideEffect=6:? BackendConfig=8:string ApiVersion=10:i CalledComputations=12:[i] CustomAttributes=14:[B]
StablehloDotGeneralOptions LhsBatchingDimensions=4:[q] RhsBatchingDimensions=6:[q] LhsContractingDimensions=8:[q] RhsContractingDimensions=10:[q] PrecisionConfig=12:[I]
StablehloDynamicSliceOptions SliceSizes=4:[q]
StablehloGatherOptions OffsetDims=4:[q] CollapsedSliceDims=6:[q] StartIndexMap=8:[q] IndexVectorDim=10:q SliceSizes=12:[q] IndicesAreSorted=14:?
StablehloIotaOptions IotaDimension=4:q
StablehloPadOptions EdgePaddingLow=4:[q] EdgePaddingHigh=6:[q] InteriorPadding=8:[q]
StablehloReduceOptions Dimensions=4:[q] BodySubgraphIndex=6:i
StablehloReduceWindowOptions WindowDimensions=4:[q] WindowStrides=6:[q] BaseDilations=8:[q] WindowDilations=10:[q] Padding=12:[q] BodySubgraphIndex=14:i
StablehloRngBitGeneratorOptions Algorithm=4:b
StablehloScatterOptions IndicesAreSorted=4:? UpdateWindowDims=6:[q] InsertedWindowDims=8:[q] ScatterDimsToOperandDims=10:[q] IndexVectorDim=12:q UniqueIndices=14:? UpdateComputationSubgraphIndex=16:i
StablehloShiftLeftOptions
StablehloSliceOptions StartIndices=4:[q] LimitIndices=6:[q] Strides=8:[q]
StablehloSortOptions Dimension=4:q IsStable=6:? ComparatorSubgraphIndex=8:i
StablehloTransposeOptions Permutation=4:[q]
StablehloWhileOptions CondSubgraphIndex=4:i BodySubgraphIndex=6:i
StridedSliceOptions BeginMask=4:i EndMask=6:i EllipsisMask=8:i NewAxisMask=10:i ShrinkAxisMask=12:i Offset=14:?
SubGraph Tensors=4:[Tensor] Inputs=6:[i] Outputs=8:[i] Operators=10:[Operator] Name=12:string DebugMetadataIndex=14:i
SubOptions FusedActivationFunction=4:b PotScaleInt16=6:?
Tensor Shape=4:[i] Type=6:b Buffer=8:I Name=10:string Quantization=12:QuantizationParameters IsVariable=14:? Sparsity=16:SparsityParameters ShapeSignature=18:[i] HasRank=20:? VariantTensors=22:[VariantSubType] ExternalBuffer=24:I
TensorMap Name=4:string TensorIndex=6:I
TileOptions
TopKV2Options
TransposeConvOptions Padding=4:b StrideW=6:i StrideH=8:i FusedActivationFunction=10:b QuantizedBiasType=12:b
TransposeOptions
Uint16Vector Values=4:[H]
Uint8Vector Values=4:[B]
UnidirectionalSequenceLSTMOptions FusedActivationFunction=4:b CellClip=6:f ProjClip=8:f TimeMajor=10:? AsymmetricQuantizeInputs=12:? DiagonalRecurrentTensors=14:?
UniqueOptions IdxOutType=4:b
UnpackOptions Num=4:i Axis=6:i
UnsortedSegmentMaxOptions
UnsortedSegmentMinOptions
UnsortedSegmentProdOptions
UnsortedSegmentSumOptions
VarHandleOptions Container=4:string SharedName=6:string
VariantSubType Shape=4:[i] Type=6:b HasRank=8:?
WhereOptions
WhileOptions CondSubgraphIndex=4:i BodySubgraphIndex=6:i
ZerosLikeOptions
"""
UNIONS = """
BuiltinOptions 1=Conv2DOptions 2=DepthwiseConv2DOptions 3=ConcatEmbeddingsOptions 4=LSHProjectionOptions 5=Pool2DOptions 6=SVDFOptions 7=RNNOptions 8=FullyConnectedOptions 9=SoftmaxOptions 10=ConcatenationOptions 11=AddOptions 12=L2NormOptions 13=LocalResponseNormalizationOptions 14=LSTMOptions 15=ResizeBilinearOptions 16=CallOptions 17=ReshapeOptions 18=SkipGramOptions 19=SpaceToDepthOptions 20=EmbeddingLookupSparseOptions 21=MulOptions 22=PadOptions 23=GatherOptions 24=BatchToSpaceNDOptions 25=SpaceToBatchNDOptions 26=TransposeOptions 27=ReducerOptions 28=SubOptions 29=DivOptions 30=SqueezeOptions 31=SequenceRNNOptions 32=StridedSliceOptions 33=ExpOptions 34=TopKV2Options 35=SplitOptions 36=LogSoftmaxOptions 37=CastOptions 38=DequantizeOptions 39=MaximumMinimumOptions 40=ArgMaxOptions 41=LessOptions 42=NegOptions 43=PadV2Options 44=GreaterOptions 45=GreaterEqualOptions 46=LessEqualOptions 47=SelectOptions 48=SliceOptions 49=TransposeConvOptions 50=SparseToDenseOptions 51=TileOptions 52=ExpandDimsOptions 53=EqualOptions 54=NotEqualOptions 55=ShapeOptions 56=PowOptions 57=ArgMinOptions 58=FakeQuantOptions 59=PackOptions 60=LogicalOrOptions 61=OneHotOptions 62=LogicalAndOptions 63=LogicalNotOptions 64=UnpackOptions 65=FloorDivOptions 66=SquareOptions 67=ZerosLikeOptions 68=FillOptions 69=BidirectionalSequenceLSTMOptions 70=BidirectionalSequenceRNNOptions 71=UnidirectionalSequenceLSTMOptions 72=FloorModOptions 73=RangeOptions 74=ResizeNearestNeighborOptions 75=LeakyReluOptions 76=SquaredDifferenceOptions 77=MirrorPadOptions 78=AbsOptions 79=SplitVOptions 80=UniqueOptions 81=ReverseV2Options 82=AddNOptions 83=GatherNdOptions 84=CosOptions 85=WhereOptions 86=RankOptions 87=ReverseSequenceOptions 88=MatrixDiagOptions 89=QuantizeOptions 90=MatrixSetDiagOptions 91=HardSwishOptions 92=IfOptions 93=WhileOptions 94=DepthToSpaceOptions 95=NonMaxSuppressionV4Options 96=NonMaxSuppressionV5Options 97=ScatterNdOptions 98=SelectV2Options 99=DensifyOptions 100=SegmentSumOptions 101=BatchMatMulOptions 102=CumsumOptions 103=CallOnceOptions 104=BroadcastToOptions 105=Rfft2dOptions 106=Conv3DOptions 107=HashtableOptions 108=HashtableFindOptions 109=HashtableImportOptions 110=HashtableSizeOptions 111=VarHandleOptions 112=ReadVariableOptions 113=AssignVariableOptions 114=RandomOptions 115=BucketizeOptions 116=GeluOptions 117=DynamicUpdateSliceOptions 118=UnsortedSegmentProdOptions 119=UnsortedSegmentMaxOptions 120=UnsortedSegmentMinOptions 121=UnsortedSegmentSumOptions 122=ATan2Options 123=SignOptions 124=BitcastOptions 125=BitwiseXorOptions 126=RightShiftOptions
BuiltinOptions2 1=StablehloConcatenateOptions 2=StablehloBroadcastInDimOptions 3=StablehloSliceOptions 4=StablehloConvolutionOptions 5=StablehloCustomCallOptions 6=StablehloReduceOptions 7=StablehloScatterOptions 8=StablehloCompareOptions 9=StablehloDynamicSliceOptions 10=StablehloPadOptions 11=StablehloIotaOptions 12=StablehloDotGeneralOptions 13=StablehloReduceWindowOptions 14=StablehloSortOptions 15=StablehloWhileOptions 16=StablehloGatherOptions 17=StablehloTransposeOptions 18=DilateOptions 19=StablehloRngBitGeneratorOptions 20=ReduceWindowOptions 21=StableHLOCompositeOptions 22=StablehloShiftLeftOptions 23=StablehloCaseOptions
QuantizationDetails 1=CustomQuantization 2=BlockwiseQuantization 3=MultiAxisQuantization
SparseIndexVector 1=Int32Vector 2=Uint16Vector 3=Uint8Vector
"""
OPERATORS = """
0=ADD
100=MIRROR_PAD
101=ABS
102=SPLIT_V
103=UNIQUE
104=CEIL
105=REVERSE_V2
106=ADD_N
107=GATHER_ND
108=COS
109=WHERE
10=HASHTABLE_LOOKUP
110=RANK
111=ELU
112=REVERSE_SEQUENCE
113=MATRIX_DIAG
114=QUANTIZE
115=MATRIX_SET_DIAG
116=ROUND
117=HARD_SWISH
118=IF
119=WHILE
11=L2_NORMALIZATION
120=NON_MAX_SUPPRESSION_V4
121=NON_MAX_SUPPRESSION_V5
122=SCATTER_ND
123=SELECT_V2
124=DENSIFY
125=SEGMENT_SUM
126=BATCH_MATMUL
127=PLACEHOLDER_FOR_GREATER_OP_CODES
128=CUMSUM
129=CALL_ONCE
12=L2_POOL_2D
130=BROADCAST_TO
131=RFFT2D
132=CONV_3D
133=IMAG
134=REAL
135=COMPLEX_ABS
136=HASHTABLE
137=HASHTABLE_FIND
138=HASHTABLE_IMPORT
139=HASHTABLE_SIZE
13=LOCAL_RESPONSE_NORMALIZATION
140=REDUCE_ALL
141=CONV_3D_TRANSPOSE
142=VAR_HANDLE
143=READ_VARIABLE
144=ASSIGN_VARIABLE
145=BROADCAST_ARGS
146=RANDOM_STANDARD_NORMAL
147=BUCKETIZE
148=RANDOM_UNIFORM
149=MULTINOMIAL
14=LOGISTIC
150=GELU
151=DYNAMIC_UPDATE_SLICE
152=RELU_0_TO_1
153=UNSORTED_SEGMENT_PROD
154=UNSORTED_SEGMENT_MAX
155=UNSORTED_SEGMENT_SUM
156=ATAN2
157=UNSORTED_SEGMENT_MIN
158=SIGN
159=BITCAST
15=LSH_PROJECTION
160=BITWISE_XOR
161=RIGHT_SHIFT
162=STABLEHLO_LOGISTIC
163=STABLEHLO_ADD
164=STABLEHLO_DIVIDE
165=STABLEHLO_MULTIPLY
166=STABLEHLO_MAXIMUM
167=STABLEHLO_RESHAPE
168=STABLEHLO_CLAMP
169=STABLEHLO_CONCATENATE
16=LSTM
170=STABLEHLO_BROADCAST_IN_DIM
171=STABLEHLO_CONVOLUTION
172=STABLEHLO_SLICE
173=STABLEHLO_CUSTOM_CALL
174=STABLEHLO_REDUCE
175=STABLEHLO_ABS
176=STABLEHLO_AND
177=STABLEHLO_COSINE
178=STABLEHLO_EXPONENTIAL
179=STABLEHLO_FLOOR
17=MAX_POOL_2D
180=STABLEHLO_LOG
181=STABLEHLO_MINIMUM
182=STABLEHLO_NEGATE
183=STABLEHLO_OR
184=STABLEHLO_POWER
185=STABLEHLO_REMAINDER
186=STABLEHLO_RSQRT
187=STABLEHLO_SELECT
188=STABLEHLO_SUBTRACT
189=STABLEHLO_TANH
18=MUL
190=STABLEHLO_SCATTER
191=STABLEHLO_COMPARE
192=STABLEHLO_CONVERT
193=STABLEHLO_DYNAMIC_SLICE
194=STABLEHLO_DYNAMIC_UPDATE_SLICE
195=STABLEHLO_PAD
196=STABLEHLO_IOTA
197=STABLEHLO_DOT_GENERAL
198=STABLEHLO_REDUCE_WINDOW
199=STABLEHLO_SORT
19=RELU
1=AVERAGE_POOL_2D
200=STABLEHLO_WHILE
201=STABLEHLO_GATHER
202=STABLEHLO_TRANSPOSE
203=DILATE
204=STABLEHLO_RNG_BIT_GENERATOR
205=REDUCE_WINDOW
206=STABLEHLO_COMPOSITE
207=STABLEHLO_SHIFT_LEFT
208=STABLEHLO_CBRT
209=STABLEHLO_CASE
20=RELU_N1_TO_1
21=RELU6
22=RESHAPE
23=RESIZE_BILINEAR
24=RNN
25=SOFTMAX
26=SPACE_TO_DEPTH
27=SVDF
28=TANH
29=CONCAT_EMBEDDINGS
2=CONCATENATION
30=SKIP_GRAM
31=CALL
32=CUSTOM
33=EMBEDDING_LOOKUP_SPARSE
34=PAD
35=UNIDIRECTIONAL_SEQUENCE_RNN
36=GATHER
37=BATCH_TO_SPACE_ND
38=SPACE_TO_BATCH_ND
39=TRANSPOSE
3=CONV_2D
40=MEAN
41=SUB
42=DIV
43=SQUEEZE
44=UNIDIRECTIONAL_SEQUENCE_LSTM
45=STRIDED_SLICE
46=BIDIRECTIONAL_SEQUENCE_RNN
47=EXP
48=TOPK_V2
49=SPLIT
4=DEPTHWISE_CONV_2D
50=LOG_SOFTMAX
51=DELEGATE
52=BIDIRECTIONAL_SEQUENCE_LSTM
53=CAST
54=PRELU
55=MAXIMUM
56=ARG_MAX
57=MINIMUM
58=LESS
59=NEG
5=DEPTH_TO_SPACE
60=PADV2
61=GREATER
62=GREATER_EQUAL
63=LESS_EQUAL
64=SELECT
65=SLICE
66=SIN
67=TRANSPOSE_CONV
68=SPARSE_TO_DENSE
69=TILE
6=DEQUANTIZE
70=EXPAND_DIMS
71=EQUAL
72=NOT_EQUAL
73=LOG
74=SUM
75=SQRT
76=RSQRT
77=SHAPE
78=POW
79=ARG_MIN
7=EMBEDDING_LOOKUP
80=FAKE_QUANT
81=REDUCE_PROD
82=REDUCE_MAX
83=PACK
84=LOGICAL_OR
85=ONE_HOT
86=LOGICAL_AND
87=LOGICAL_NOT
88=UNPACK
89=REDUCE_MIN
8=FLOOR
90=FLOOR_DIV
91=REDUCE_ANY
92=SQUARE
93=ZEROS_LIKE
94=FILL
95=FLOOR_MOD
96=RANGE
97=RESIZE_NEAREST_NEIGHBOR
98=LEAKY_RELU
99=SQUARED_DIFFERENCE
9=FULLY_CONNECTED
"""
TYPES = """
0=FLOAT32
10=FLOAT64
11=COMPLEX128
12=UINT64
13=RESOURCE
14=VARIANT
15=UINT32
16=UINT16
17=INT4
18=BFLOAT16
19=INT2
1=FLOAT16
20=UINT4
21=FLOAT8_E4M3FN
22=FLOAT8_E5M2
2=INT32
3=UINT8
4=INT64
5=STRING
6=BOOL
7=INT16
8=COMPLEX64
9=INT8
"""
