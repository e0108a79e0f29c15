/* Runs an engine file on raw tensors: ./run MODEL.engine input.bin ... -- output.bin ...
   The files hold the elements of each input and output, row-major. Sizes that the model leaves open are taken
   from SIZES="3,224,..." in the order of the inputs' dimensions (all of them). Built by: make */

#include "ircc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 64 };
static const size_t WIDTHS[32] = {0, 4, 1, 1, 2, 2, 4, 8, 0, 1, 2, 8, 4, 8, 8, 16, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};

static size_t bytes_of(const ircc_port *port, const int64_t *sizes) {
    size_t count = WIDTHS[port->type & 31];
    for (int i = 0; i < port->rank; i++) count *= (size_t)sizes[i];
    return count;
}

static int transfer(const char *path, const char *mode, void *data, size_t size) {
    FILE *file = fopen(path, mode);
    if (!file) return 0;
    size_t done = *mode == 'r' ? fread(data, 1, size, file) : fwrite(data, 1, size, file);
    return (fclose(file) == 0) & (done == size);
}

static int die(const char *what, const char *why) {
    fprintf(stderr, "run: %s: %s\n", what, why);
    return 1;
}

int main(int count, char **words) {
    ircc_library lib;
    ircc_engine *engine;
    ircc_context *context;
    char text[512];
    void *inputs[MOST], *outputs[MOST];
    int64_t sizes[MOST * 8], results[MOST * 8], *next = sizes;

    if (count < 2) return die("usage", "run MODEL.engine input.bin ... -- output.bin ...");
    if (ircc_open(words[1], IRCC_CHECK_CODE, &lib, text, sizeof text)) return die(words[1], text);
    const ircc_info *info = lib.describe();
    if (count != 3 + info->input_count + info->output_count || info->input_count + info->output_count > MOST)
        return die(words[1], "a file for each input, --, and a file for each output are needed");

    char *given = getenv("SIZES");
    for (int i = 0; i < info->input_count; i++)
        for (int d = 0; d < info->inputs[i].rank; d++, next++) {
            *next = info->inputs[i].sizes[d];
            if (given) *next = strtoll(given, &given, 10), given += *given == ',';
            if (*next < 0) return die(info->inputs[i].name, "its sizes are open: give all in SIZES");
        }

    if (lib.engine_create(0, &engine) || lib.context_create(engine, &context)) return die(words[1], "no memory");
    if (lib.context_resize(context, sizes, results)) return die(words[1], lib.context_error(context));

    next = sizes;
    for (int i = 0; i < info->input_count; next += info->inputs[i++].rank) {
        size_t size = bytes_of(&info->inputs[i], next);
        inputs[i] = malloc(size + 1);
        if (!inputs[i] || !transfer(words[2 + i], "rb", inputs[i], size)) return die(words[2 + i], "cannot be read");
    }
    next = results;
    for (int i = 0; i < info->output_count; next += info->outputs[i++].rank)
        if (!(outputs[i] = malloc(bytes_of(&info->outputs[i], next) + 1))) return die(words[1], "no memory");

    void *own[MOST];
    memcpy(own, outputs, sizeof own);
    if (lib.context_run(context, (const void *const *)inputs, outputs))
        return die(words[1], lib.context_error(context));
    lib.context_sizes(context, results);

    next = results;
    for (int i = 0; i < info->output_count; next += info->outputs[i++].rank) {
        const char *path = words[3 + info->input_count + i];
        if (!transfer(path, "wb", outputs[i], bytes_of(&info->outputs[i], next))) return die(path, "cannot be written");
        free(own[i]);
    }
    for (int i = 0; i < info->input_count; i++) free(inputs[i]);
    lib.context_destroy(context);
    lib.engine_destroy(engine);
    ircc_close(&lib);
    return 0;
}
