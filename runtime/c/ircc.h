/* The C interface of an ircc engine.

   An engine file is a shared library that exports the functions below and needs libc alone: no Python, no other
   library. Link a program with it (`cc app.c ./m.engine`), load it with dlopen, or open it with ircc.c, which checks
   the file's hashes before anything of it is loaded.

       const ircc_info *info = ircc_describe();
       ircc_engine *engine;    ircc_engine_create(0, &engine);           one per program, with its threads
       ircc_context *context;  ircc_context_create(engine, &context);    one per concurrent caller
       ircc_context_resize(context, input_sizes, output_sizes);          once for each set of sizes
       ircc_context_run(context, inputs, outputs);                       as often as you like

   No function aborts, exits or prints. Those that return int32_t return 0 when all went well, else one of the codes
   below. What has been in this file stays as it is while ircc_abi_version() is 1; later versions only add to the end. */

#ifndef IRCC_H
#define IRCC_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define IRCC_ABI_VERSION 1

enum {
    IRCC_OK = 0,
    IRCC_BAD_INPUT = 1,   /* sizes or values that the model does not take: ircc_context_error says which; or NULL */
    IRCC_NO_MEMORY = 2,
    IRCC_UNSUPPORTED = 3, /* the machine lacks what all the code in the engine needs: ircc_missing says what */
    IRCC_FAILED = 4,
    IRCC_NOT_READY = 5,   /* ircc_context_run before ircc_context_resize */
    IRCC_BAD_FILE = 6     /* ircc.c: no engine file, or a damaged one */
};

enum {                    /* flags of a port */
    IRCC_LOOSE = 1,       /* dimensions that turn out to be 1 are none of the tensor's */
    IRCC_LATE = 2         /* an output whose sizes come from data: see ircc_context_run */
};

/* An input or output. `type` is a number of ONNX's TensorProto.DataType: 1 float32, 7 int64, 9 bool, 10 float16 ...
   Elements of 4 and 2 bits take a byte each. Tensors are row-major without gaps. */
typedef struct ircc_port {
    const char *name;
    const int64_t *sizes;        /* of `rank` dimensions; -1: not fixed */
    const char *const *symbols;  /* where it is not fixed, the size as an expression such as "N" or "2*N", else NULL */
    const int32_t *in_place;     /* of an output: the inputs whose memory it may be written to */
    int32_t in_place_count;
    int32_t type;
    int32_t rank;
    int32_t flags;
} ircc_port;

typedef struct ircc_info {
    int32_t abi_version;
    int32_t target_count;
    int32_t input_count;
    int32_t output_count;
    const ircc_port *inputs;
    const ircc_port *outputs;
    const char *const *targets;  /* the kinds of machine that the engine has code for, the best one first */
    const char *version;         /* of ircc that made the engine */
} ircc_info;

typedef struct ircc_engine ircc_engine;    /* the worker threads */
typedef struct ircc_context ircc_context;  /* sizes, and the memory of intermediate results */

int32_t ircc_abi_version(void);
const ircc_info *ircc_describe(void);

/* The number of the target whose code runs here, or -1; and, where it is -1, the name of a CPU feature that is not
   there, else NULL. */
int32_t ircc_select(void);
const char *ircc_missing(void);

/* An engine that runs on `threads` threads, the caller's among them; 0: one for each core that the process may use,
   by its affinity and its cgroups' quota of time.
   Threads are started by the first run that needs them. Any number of contexts may share an engine and run at once.
   Destroy its contexts first. In a child after fork() the threads are gone: call ircc_engine_set_threads there. */
int32_t ircc_engine_create(int32_t threads, ircc_engine **engine);
int32_t ircc_engine_set_threads(ircc_engine *engine, int32_t threads); /* while nothing runs */
void ircc_engine_destroy(ircc_engine *engine);

/* A context is for one thread at a time. */
int32_t ircc_context_create(ircc_engine *engine, ircc_context **context);
void ircc_context_destroy(ircc_context *context);

/* Prepare for inputs of these sizes: the sizes of all inputs, one input after the other. Writes the sizes of all
   outputs in the same way, 0 for those of a late output; output_sizes may be NULL. */
int32_t ircc_context_resize(ircc_context *context, const int64_t *input_sizes, int64_t *output_sizes);

/* One run. `inputs` and `outputs` hold a pointer for each port, aligned as its elements ask; memory of outputs is the
   caller's and is written directly. An output may be the memory of an input that its `in_place` lists, and overlaps
   nothing else. For a late output the pointer is overwritten with that of memory of the context, valid until its next
   run; ircc_context_sizes has the sizes then. */
int32_t ircc_context_run(ircc_context *context, const void *const *inputs, void **outputs);

/* The sizes of all outputs, as ircc_context_resize writes them, after a run those of late outputs too. */
void ircc_context_sizes(ircc_context *context, int64_t *output_sizes);

/* What went wrong last in this context, in words; "" if nothing has. Valid until its next call. */
const char *ircc_context_error(ircc_context *context);

/* ---- ircc.c: engine files opened by name or from memory, each with functions of its own */

typedef struct ircc_library {
    void *handle;
    int32_t (*abi_version)(void);
    const ircc_info *(*describe)(void);
    int32_t (*select)(void);
    const char *(*missing)(void);
    int32_t (*engine_create)(int32_t, ircc_engine **);
    int32_t (*engine_set_threads)(ircc_engine *, int32_t);
    void (*engine_destroy)(ircc_engine *);
    int32_t (*context_create)(ircc_engine *, ircc_context **);
    void (*context_destroy)(ircc_context *);
    int32_t (*context_resize)(ircc_context *, const int64_t *, int64_t *);
    int32_t (*context_run)(ircc_context *, const void *const *, void **);
    void (*context_sizes)(ircc_context *, int64_t *);
    const char *(*context_error)(ircc_context *);
} ircc_library;

enum {
    IRCC_CHECK_CODE = 0, /* code and header have their hash; else the file is refused before it is loaded */
    IRCC_CHECK_ALL = 1   /* weights and sections too: reads all of the file */
};

/* Open an engine file, or one that lies in memory. `text` of `text_size` bytes gets what went wrong, in words. */
int32_t ircc_open(const char *path, int32_t check, ircc_library *library, char *text, size_t text_size);
int32_t ircc_open_memory(const void *data, size_t size, int32_t check, ircc_library *library, char *text,
                         size_t text_size);
/* Destroy its engines first. */
void ircc_close(ircc_library *library);

#ifdef __cplusplus
}
#endif
#endif
