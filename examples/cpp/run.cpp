// Runs an engine file on raw tensors, as ../c/run.c does: ./run MODEL.engine input.bin ... -- output.bin ...
// What is opened is closed by itself, and codes become exceptions. Built by: make

#include "ircc.h"

#include <cstdlib>
#include <fstream>
#include <iostream>
#include <iterator>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

using Sizes = std::vector<int64_t>;
using Bytes = std::vector<char>;

struct Library : ircc_library {
    explicit Library(const std::string &path) {
        char text[512];
        if (ircc_open(path.c_str(), IRCC_CHECK_CODE, this, text, sizeof text)) throw std::runtime_error(text);
    }
    ~Library() { ircc_close(this); }
    Library(const Library &) = delete;
    Library &operator=(const Library &) = delete;
};

// Bytes of each of some tensors, given the sizes of all of them, one after the other.
static std::vector<size_t> lengths(const ircc_port *ports, int32_t count, const Sizes &sizes) {
    static const size_t widths[] = {0, 4, 1, 1, 2, 2, 4, 8, 0, 1, 2, 8, 4, 8, 8, 16, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    std::vector<size_t> found;
    auto size = sizes.begin();
    for (const ircc_port *port = ports; port != ports + count; port++) {
        found.push_back(widths[port->type]);
        for (int32_t i = 0; i < port->rank; i++) found.back() *= static_cast<size_t>(*size++);
    }
    return found;
}

class Model { // for one caller at a time; others take contexts of their own from the same engine
    const Library library;
    std::unique_ptr<ircc_engine, void (*)(ircc_engine *)> engine{nullptr, library.engine_destroy};
    std::unique_ptr<ircc_context, void (*)(ircc_context *)> context{nullptr, library.context_destroy};
    void check(int32_t code) const {
        if (code) throw std::runtime_error(context ? library.context_error(context.get()) : "no engine can be made");
    }

  public:
    const ircc_info *const info = library.describe();
    explicit Model(const std::string &path, int32_t threads = 0) : library(path) {
        ircc_engine *e = nullptr;
        ircc_context *c = nullptr;
        check(library.engine_create(threads, &e)), engine.reset(e);
        check(library.context_create(e, &c)), context.reset(c);
    }
    std::vector<Bytes> run(const std::vector<Bytes> &inputs, const Sizes &sizes) {
        Sizes found;
        for (int32_t i = 0; i < info->output_count; i++) found.resize(found.size() + info->outputs[i].rank);
        check(library.context_resize(context.get(), sizes.data(), found.data()));
        const std::vector<size_t> needed = lengths(info->inputs, info->input_count, sizes);
        std::vector<const void *> from;
        for (size_t i = 0; i < inputs.size(); from.push_back(inputs[i++].data()))
            if (inputs[i].size() != needed[i]) throw std::runtime_error("a file has not the size of its input");
        std::vector<Bytes> outputs;
        std::vector<void *> to;
        for (size_t bytes : lengths(info->outputs, info->output_count, found)) outputs.emplace_back(bytes);
        for (Bytes &output : outputs) to.push_back(output.data());
        check(library.context_run(context.get(), from.data(), to.data()));
        library.context_sizes(context.get(), found.data());
        const std::vector<size_t> made = lengths(info->outputs, info->output_count, found);
        for (size_t i = 0; i < to.size(); i++) // sizes that came from data: the memory is the context's
            if (info->outputs[i].flags & IRCC_LATE) outputs[i].assign((char *)to[i], (char *)to[i] + made[i]);
        return outputs;
    }
};

int main(int count, char **words) try {
    if (count < 2) throw std::runtime_error("run MODEL.engine input.bin ... -- output.bin ...");
    Model model(words[1]);
    if (count != 3 + model.info->input_count + model.info->output_count)
        throw std::runtime_error("a file for each input, --, and a file for each output are needed");
    std::vector<Bytes> inputs;
    Sizes sizes;
    for (const ircc_port *port = model.info->inputs; port != model.info->inputs + model.info->input_count; port++) {
        std::ifstream file(words[2 + inputs.size()], std::ios::binary);
        inputs.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
        sizes.insert(sizes.end(), port->sizes, port->sizes + port->rank);
    }
    char *given = std::getenv("SIZES"); // of all inputs, as 3,224,...: where the model leaves some open
    for (size_t i = 0; given && i < sizes.size(); given += *given == ',') sizes[i++] = std::strtoll(given, &given, 10);
    const std::vector<Bytes> outputs = model.run(inputs, sizes);
    char **path = words + 3 + inputs.size();
    for (const Bytes &output : outputs)
        if (!std::ofstream(*path++, std::ios::binary).write(output.data(), std::streamsize(output.size())))
            throw std::runtime_error("a file cannot be written");
} catch (const std::exception &error) {
    std::cerr << "run: " << error.what() << "\n";
    return 1;
}
