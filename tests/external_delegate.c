// An external delegate that computes the first RELU of float32 in a graph, and adds `offset` to show that it did.
//
// The structures are the part of TensorFlow Lite's public C interface (c/common.h) that it uses, as in 2.14 and in LiteRT.
// Options: offset=NUMBER; prepare=refuse, to refuse every graph; give=nothing, to fail without a word.
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { kOk = 0, kError = 1, kFloat32 = 1, kRelu = 19 };

typedef struct { int size; int data[]; } IntArray;
typedef struct {
  int type;
  float *data;
  IntArray *dims;
  struct { float scale; int32_t zero_point; } params;
  int allocation_type;
  size_t bytes;
  const void *allocation;
  const char *name;
  void *delegate;
  int buffer_handle;
  bool data_is_stale, is_variable;
  struct { int type; void *params; } quantization;
  void *sparsity;
  const IntArray *dims_signature;
} Tensor;
typedef struct { IntArray *inputs, *outputs, *intermediates, *temporaries; void *user_data; } Node;
typedef struct Context Context;
typedef struct Delegate Delegate;
typedef struct {
  void *(*init)(Context *, const char *, size_t);
  void (*free)(Context *, void *);
  int (*prepare)(Context *, Node *);
  int (*invoke)(Context *, Node *);
  const char *(*profiling_string)(const Context *, const Node *);
  int32_t builtin_code;
  const char *custom_name;
  int version;
  void *external, *async_kernel;
  uint64_t inplace_operator;
} Registration;
struct Context {
  size_t tensors_size;
  int (*get_execution_plan)(Context *, IntArray **);
  Tensor *tensors;
  void *impl, *resize_tensor, *report_error, *add_tensors;
  int (*get_node)(Context *, int, Node **, Registration **);
  int (*replace_nodes)(Context *, Registration, const IntArray *, Delegate *);
  // and more, which it does not use
};
struct Delegate {
  void *data;
  int (*prepare)(Context *, Delegate *);
  void *copy_from, *copy_to, *free_handle;
  int64_t flags;
  void *opaque_builder;
  float offset;  // beyond what TensorFlow Lite knows
};
typedef struct { Delegate *delegate; } DelegateParams;

static void *init(Context *context, const char *buffer, size_t length) { return ((const DelegateParams *)buffer)->delegate; }

static int invoke(Context *context, Node *node) {
  const Tensor *x = &context->tensors[node->inputs->data[0]];
  Tensor *y = &context->tensors[node->outputs->data[0]];
  float offset = ((Delegate *)node->user_data)->offset;
  for (size_t i = 0; i < x->bytes / sizeof(float); i++) y->data[i] = (x->data[i] > 0 ? x->data[i] : 0) + offset;
  return kOk;
}

static int claim(Context *context, Delegate *delegate) {
  IntArray *plan;
  if (context->get_execution_plan(context, &plan) != kOk) return kError;
  for (int i = 0; i < plan->size; i++) {
    Node *node;
    Registration *operation;
    if (context->get_node(context, plan->data[i], &node, &operation) != kOk) return kError;
    if (operation->builtin_code != kRelu || context->tensors[node->inputs->data[0]].type != kFloat32) continue;
    struct { int size, index; } one = {1, plan->data[i]};
    Registration kernel = {.init = init, .invoke = invoke, .builtin_code = 51, .custom_name = "FirstRelu", .version = 1};
    return context->replace_nodes(context, kernel, (const IntArray *)&one, delegate);
  }
  return kOk;
}

static int refuse(Context *context, Delegate *delegate) { return kError; }

Delegate *tflite_plugin_create_delegate(char **keys, char **values, size_t n, void (*report)(const char *)) {
  Delegate *delegate = calloc(1, sizeof(Delegate));
  delegate->prepare = claim;
  for (size_t i = 0; i < n; i++) {
    if (!strcmp(keys[i], "offset")) {
      delegate->offset = strtof(values[i], NULL);
    } else if (!strcmp(keys[i], "prepare") && !strcmp(values[i], "refuse")) {
      delegate->prepare = refuse;
    } else {
      if (strcmp(keys[i], "give")) report("it has no such option");
      free(delegate);
      return NULL;
    }
  }
  return delegate;
}

void tflite_plugin_destroy_delegate(Delegate *delegate) { free(delegate); }
