/* Opens engine files from C: checks what runtime/file.py's docstring says of them, then loads them.
   Compile it into a program: cc app.c ircc.c -ldl. Needs POSIX, and a machine that stores low bytes first. */

#define _GNU_SOURCE
#include "ircc.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- BLAKE2b (RFC 7693), without a key */

typedef struct {
    uint64_t h[8], count;
    uint8_t block[128];
    size_t filled, length;
} blake2b;

static const uint64_t blake2b_start[8] = {
    0x6a09e667f3bcc908u, 0xbb67ae8584caa73bu, 0x3c6ef372fe94f82bu, 0xa54ff53a5f1d36f1u,
    0x510e527fade682d1u, 0x9b05688c2b3e6c1fu, 0x1f83d9abfb41bd6bu, 0x5be0cd19137e2179u,
};
static const uint8_t blake2b_order[10][16] = {
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, {14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
    {11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4}, {7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8},
    {9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13}, {2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9},
    {12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11}, {13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10},
    {6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5}, {10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0},
};

static uint64_t turned(uint64_t x, int n) { return x >> n | x << (64 - n); }

static void blake2b_block(blake2b *s, const uint8_t *block, int last) {
    uint64_t v[16], m[16];
    memcpy(m, block, 128);
    memcpy(v, s->h, 64);
    memcpy(v + 8, blake2b_start, 64);
    v[12] ^= s->count;
    if (last) v[14] = ~v[14];
    for (int round = 0; round < 12; round++) {
        const uint8_t *o = blake2b_order[round % 10];
        for (int i = 0; i < 8; i++) {
            int a = i % 4, turn = i / 4;
            int b = 4 + (a + turn) % 4, c = 8 + (a + 2 * turn) % 4, d = 12 + (a + 3 * turn) % 4;
            v[a] += v[b] + m[o[2 * i]], v[d] = turned(v[d] ^ v[a], 32), v[c] += v[d], v[b] = turned(v[b] ^ v[c], 24);
            v[a] += v[b] + m[o[2 * i + 1]], v[d] = turned(v[d] ^ v[a], 16), v[c] += v[d], v[b] = turned(v[b] ^ v[c], 63);
        }
    }
    for (int i = 0; i < 8; i++) s->h[i] ^= v[i] ^ v[i + 8];
}

static void blake2b_begin(blake2b *s, size_t length) {
    memset(s, 0, sizeof *s);
    memcpy(s->h, blake2b_start, 64);
    s->h[0] ^= 0x01010000 ^ length;
    s->length = length;
}

static void blake2b_add(blake2b *s, const uint8_t *data, size_t size) {
    while (size) {
        if (s->filled == 128) {
            s->count += 128;
            blake2b_block(s, s->block, 0);
            s->filled = 0;
        }
        size_t some = 128 - s->filled < size ? 128 - s->filled : size;
        memcpy(s->block + s->filled, data, some);
        s->filled += some, data += some, size -= some;
    }
}

static int blake2b_is(blake2b *s, const uint8_t *expected) {
    s->count += s->filled;
    memset(s->block + s->filled, 0, 128 - s->filled);
    blake2b_block(s, s->block, 1);
    return memcmp(s->h, expected, s->length) == 0;
}

/* ---- the file */

typedef struct { /* the last bytes of an engine file: runtime/file.py's Seal */
    char magic[8];
    uint32_t format, flags;
    uint64_t size, weights, weights_length, header, header_length;
    uint8_t body_hash[32], weights_hash[32], public_key[32], signature[64], check[8];
} seal;

static int32_t failed(char *text, size_t text_size, int32_t code, const char *what, const char *more) {
    if (text && text_size) snprintf(text, text_size, "%s%s", what, more ? more : "");
    return code;
}

/* What is wrong with the file, or NULL. */
static const char *wrong(const uint8_t *data, size_t size, int32_t check) {
    seal s;
    blake2b state;
    if (size < sizeof s) return "it is no engine file";
    const uint8_t *last = data + size - sizeof s;
    memcpy(&s, last, sizeof s);
    if (memcmp(s.magic, "IRCCENG2", 8)) return "it is no engine file, or its end was cut off";
    blake2b_begin(&state, 8);
    blake2b_add(&state, last, offsetof(seal, check));
    if (!blake2b_is(&state, s.check)) return "it is damaged: its seal does not have its hash";
    if (s.format != 2 && s.format != 3) return "its format is of another version of ircc";
    uint64_t end = size - sizeof s, after = s.weights + s.weights_length, sections = s.header + s.header_length;
    if (s.size != size || s.weights > end || s.weights_length > end - s.weights || s.header < after || s.header > end ||
        s.header_length > end - s.header)
        return "it is damaged: its size is not what it was";
    if (s.format == 2) sections = end; /* they were part of the body */
    blake2b_begin(&state, 32);
    blake2b_add(&state, data, s.weights);
    blake2b_add(&state, data + after, sections - after);
    blake2b_add(&state, last, offsetof(seal, body_hash));
    if (!blake2b_is(&state, s.body_hash)) return "it is damaged: its code does not have its hash";
    if (check == IRCC_CHECK_ALL) {
        blake2b_begin(&state, 32);
        blake2b_add(&state, data + s.weights, s.weights_length);
        blake2b_add(&state, data + sections, end - sections);
        if (!blake2b_is(&state, s.weights_hash)) return "it is damaged: its weights or sections do not have their hash";
    }
    return NULL;
}

/* Load an open file. dlopen takes a name that it has met for the library that it has, whatever the file of that name is
   now. So the number of the file is in the name, as slashes and dots that mean nothing to the system. */
static int32_t load(int file, ircc_library *library, char *text, size_t text_size) {
    struct stat about;
    char path[512] = "/proc/self/fd";
    if (fstat(file, &about)) return failed(text, text_size, IRCC_BAD_FILE, "it cannot be read: ", strerror(errno));
    char *end = path + strlen(path);
    uint64_t numbers[2] = {(uint64_t)about.st_dev, (uint64_t)about.st_ino};
    for (int i = 0; i < 128; i++) {
        *end++ = '/';
        if (numbers[i / 64] >> i % 64 & 1) *end++ = '.';
    }
    snprintf(end, 32, "/%d", file);
    void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!handle) return failed(text, text_size, IRCC_UNSUPPORTED, "the engine cannot be loaded: ", dlerror());
    const struct {
        const char *name;
        void *place;
    } functions[] = {
        {"ircc_abi_version", &library->abi_version},
        {"ircc_describe", &library->describe},
        {"ircc_select", &library->select},
        {"ircc_missing", &library->missing},
        {"ircc_engine_create", &library->engine_create},
        {"ircc_engine_set_threads", &library->engine_set_threads},
        {"ircc_engine_destroy", &library->engine_destroy},
        {"ircc_context_create", &library->context_create},
        {"ircc_context_destroy", &library->context_destroy},
        {"ircc_context_resize", &library->context_resize},
        {"ircc_context_run", &library->context_run},
        {"ircc_context_sizes", &library->context_sizes},
        {"ircc_context_error", &library->context_error},
    };
    library->handle = handle;
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
        void *found = dlsym(handle, functions[i].name);
        if (!found) {
            ircc_close(library);
            return failed(text, text_size, IRCC_BAD_FILE, "the engine lacks the function ", functions[i].name);
        }
        memcpy(functions[i].place, &found, sizeof found);
    }
    if (library->abi_version() != IRCC_ABI_VERSION) {
        ircc_close(library);
        return failed(text, text_size, IRCC_UNSUPPORTED, "the engine's interface is of another version", NULL);
    }
    const char *missing = library->missing();
    if (missing) { /* the text is in the library */
        int32_t code = failed(text, text_size, IRCC_UNSUPPORTED, "this machine lacks what the engine needs: ", missing);
        ircc_close(library);
        return code;
    }
    return IRCC_OK;
}

int32_t ircc_open(const char *path, int32_t check, ircc_library *library, char *text, size_t text_size) {
    struct stat about;
    memset(library, 0, sizeof *library);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0 || fstat(file, &about)) {
        const char *why = strerror(errno);
        if (file >= 0) close(file);
        return failed(text, text_size, IRCC_BAD_FILE, "it cannot be read: ", why);
    }
    if (!S_ISREG(about.st_mode) || about.st_size < (off_t)sizeof(seal)) {
        close(file);
        return failed(text, text_size, IRCC_BAD_FILE, "it is no engine file", NULL);
    }
    void *data = mmap(NULL, about.st_size, PROT_READ, MAP_PRIVATE, file, 0);
    if (data == MAP_FAILED) {
        const char *why = strerror(errno);
        close(file);
        return failed(text, text_size, IRCC_NO_MEMORY, "it cannot be mapped: ", why);
    }
    const char *what = wrong(data, about.st_size, check);
    munmap(data, about.st_size);
    int32_t code = what ? failed(text, text_size, IRCC_BAD_FILE, what, NULL) : load(file, library, text, text_size);
    close(file); /* what is mapped stays */
    return code;
}

int32_t ircc_open_memory(const void *data, size_t size, int32_t check, ircc_library *library, char *text,
                         size_t text_size) {
    memset(library, 0, sizeof *library);
    const char *what = wrong(data, size, check);
    if (what) return failed(text, text_size, IRCC_BAD_FILE, what, NULL);
    int file = memfd_create("engine", MFD_CLOEXEC);
    if (file < 0) return failed(text, text_size, IRCC_NO_MEMORY, "no file in memory: ", strerror(errno));
    for (size_t done = 0; done < size;) {
        ssize_t some = write(file, (const char *)data + done, size - done);
        if (some < 0 && errno == EINTR) continue;
        if (some <= 0) {
            const char *why = strerror(errno);
            close(file);
            return failed(text, text_size, IRCC_NO_MEMORY, "no file in memory: ", why);
        }
        done += (size_t)some;
    }
    int32_t code = load(file, library, text, text_size);
    close(file); /* what is mapped stays */
    return code;
}

void ircc_close(ircc_library *library) {
    if (library->handle) dlclose(library->handle);
    library->handle = NULL;
}
