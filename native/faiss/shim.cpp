// What knnscope calls of FAISS: one exported function, which returns a table of functions. None of them throws.

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>
#include <new>
#include <utility>
#include <vector>

#include <omp.h>
#ifdef __linux__
#include <sys/mman.h>
#endif

#include <faiss/AutoTune.h>
#include <faiss/Index.h>
#include <faiss/IVFlib.h>
#include <faiss/IndexIVF.h>
#include <faiss/IndexPreTransform.h>
#include <faiss/IndexRefine.h>
#include <faiss/impl/AuxIndexStructures.h>
#include <faiss/impl/FaissException.h>
#include <faiss/impl/HNSW.h>
#include <faiss/index_factory.h>
#include <faiss/index_io.h>

namespace {

enum Outcome : int32_t { DONE = 0, FAILED = 1, OUT_OF_MEMORY = 2 };

// Of a size of its own: keeping an error must not fail for want of memory.
char last_error[4096];

void keep(const char* text) {
    const size_t size = std::min(std::strlen(text), sizeof(last_error) - 1);
    std::memcpy(last_error, text, size);
    last_error[size] = 0;
}

// Runs `action`; what it throws becomes an outcome with a text.
template <class Action>
int32_t guarded(Action action) {
    try {
        action();
        return DONE;
    } catch (const std::bad_alloc&) {
        return OUT_OF_MEMORY;
    } catch (const faiss::FaissException& error) {
        keep(error.msg.c_str());
    } catch (const std::exception& error) {
        keep(error.what());
    } catch (...) {
        keep("an exception without a text");
    }
    return FAILED;
}

struct Description {
    int64_t dim;
    int64_t docs;
    int32_t metric;
    int32_t is_trained;
};

using Listener = void (*)();

// FAISS asks it in each iteration of k-means, and between blocks of exhaustive searches.
struct Progress : faiss::InterruptCallback {
    Listener listener;
    explicit Progress(Listener listener) : listener(listener) {}
    bool want_interrupt() override {
        listener();
        return false;
    }
};

const char* error_text() {
    return last_error;
}

int32_t make(const char* factory, int32_t dim, int32_t is_inner_product, faiss::Index** index) {
    return guarded([&] {
        const auto metric = is_inner_product ? faiss::METRIC_INNER_PRODUCT : faiss::METRIC_L2;
        *index = faiss::index_factory(dim, factory, metric);
    });
}

int32_t read(const char* path, faiss::Index** index) {
    return guarded([&] { *index = faiss::read_index(path); });
}

int32_t write(const faiss::Index* index, const char* path) {
    return guarded([&] { faiss::write_index(index, path); });
}

void free_index(faiss::Index* index) {
    guarded([&] { delete index; });
}

void describe(const faiss::Index* index, Description* description) {
    description->dim = index->d;
    description->docs = index->ntotal;
    description->metric = index->metric_type;
    description->is_trained = index->is_trained;
}

int32_t train(faiss::Index* index, int64_t count, const float* vectors) {
    return guarded([&] { index->train(count, vectors); });
}

int32_t add(faiss::Index* index, int64_t count, const float* vectors) {
    return guarded([&] { index->add(count, vectors); });
}

int32_t search(
        const faiss::Index* index,
        int64_t count,
        const float* queries,
        int64_t k,
        float* distances,
        int64_t* labels) {
    return guarded([&] { index->search(count, queries, k, distances, labels); });
}

int32_t set(faiss::Index* index, const char* name, double value) {
    return guarded([&] { faiss::ParameterSpace().set_index_parameter(index, name, value); });
}

void use_threads(int32_t threads) {
    omp_set_num_threads(threads);
}

void listen(Listener listener) {
    guarded([&] {
        faiss::InterruptCallback::instance.reset(listener ? new Progress(listener) : nullptr);
    });
}

// Counted by graphs and inverted lists since the process began; exhaustive scans and re-ranking are not in it.
uint64_t distance_computations() {
    return faiss::hnsw_stats.ndis + faiss::indexIVF_stats.ndis;
}

// Inverted lists by the cells of a coarse quantiser; 0 where there are none.
int64_t cells(const faiss::Index* index) {
    const auto* ivf = faiss::ivflib::try_extract_index_ivf(index);
    return ivf ? int64_t(ivf->nlist) : 0;
}

// The `probes` nearest cells of each vector, as a search would probe them.
int32_t cells_of(const faiss::Index* index, int64_t count, const float* vectors, int64_t probes, int64_t* found) {
    return guarded([&] {
        const auto* ivf = faiss::ivflib::extract_index_ivf(index);
        if (const auto* refined = dynamic_cast<const faiss::IndexRefine*>(index)) {
            index = refined->base_index;
        }
        std::unique_ptr<const float[]> turned;
        if (const auto* before = dynamic_cast<const faiss::IndexPreTransform*>(index)) {
            const float* changed = before->apply_chain(count, vectors);
            if (changed != vectors) {
                turned.reset(changed);
            }
            vectors = changed;
        }
        std::vector<float> distances(count * probes);
        ivf->quantizer->search(count, vectors, probes, distances.data(), found);
    });
}

// The cell of each doc with a label below `count`.
int32_t docs_cells(const faiss::Index* index, int64_t count, int64_t* found) {
    return guarded([&] {
        const auto* lists = faiss::ivflib::extract_index_ivf(index)->invlists;
        for (size_t list = 0; list < lists->nlist; list++) {
            faiss::InvertedLists::ScopedIds labels(lists, list);
            for (size_t at = 0; at < lists->list_size(list); at++) {
                if (labels[at] >= 0 && labels[at] < count) {
                    found[labels[at]] = int64_t(list);
                }
            }
        }
    });
}

#ifdef __linux__
// Has the system join the pages of large memory into huge ones, where it can (Linux 6.1): searches read all over an index, and
// a processor knows the places of few pages.
void join_large_memory() {
    constexpr int COLLAPSE = 25; // MADV_COLLAPSE, which old headers lack
    constexpr size_t LARGE = 16 << 20; // larger than stacks of threads
    FILE* maps = std::fopen("/proc/self/maps", "r");
    if (!maps) {
        return;
    }
    // First read, then joined: joining changes what is read.
    std::vector<std::pair<char*, size_t>> large;
    char line[512];
    while (std::fgets(line, sizeof(line), maps)) {
        uintptr_t begin, end;
        unsigned long inode;
        char permissions[8], name[16] = "";
        const int known = std::sscanf(
                line, "%lx-%lx %7s %*s %*s %lu %15s", &begin, &end, permissions, &inode, name);
        const bool is_own = known >= 4 && inode == 0 && !std::strcmp(permissions, "rw-p") &&
                (!name[0] || !std::strcmp(name, "[heap]"));
        if (is_own && end - begin >= LARGE) {
            large.emplace_back(reinterpret_cast<char*>(begin), end - begin);
        }
    }
    std::fclose(maps);
    for (const auto& [begin, size] : large) {
        madvise(begin, size, COLLAPSE);
    }
}
#endif

void join_pages() {
#ifdef __linux__
    // Where it cannot be done, searches are only slower.
    guarded([] { join_large_memory(); });
#endif
}

struct Functions {
    // What this was compiled for: 0 any CPU, 1 AVX2, 2 AVX-512.
    int32_t level;
    const char* (*error_text)();
    int32_t (*make)(const char*, int32_t, int32_t, faiss::Index**);
    int32_t (*read)(const char*, faiss::Index**);
    int32_t (*write)(const faiss::Index*, const char*);
    void (*free_index)(faiss::Index*);
    void (*describe)(const faiss::Index*, Description*);
    int32_t (*train)(faiss::Index*, int64_t, const float*);
    int32_t (*add)(faiss::Index*, int64_t, const float*);
    int32_t (*search)(const faiss::Index*, int64_t, const float*, int64_t, float*, int64_t*);
    int32_t (*set)(faiss::Index*, const char*, double);
    void (*use_threads)(int32_t);
    void (*listen)(Listener);
    uint64_t (*distance_computations)();
    int64_t (*cells)(const faiss::Index*);
    int32_t (*cells_of)(const faiss::Index*, int64_t, const float*, int64_t, int64_t*);
    int32_t (*docs_cells)(const faiss::Index*, int64_t, int64_t*);
    void (*join_pages)();
};

const Functions functions = {
#if defined(__AVX512F__)
        2,
#elif defined(__AVX2__)
        1,
#else
        0,
#endif
        error_text, make, read, write, free_index, describe, train, add, search, set, use_threads, listen,
        distance_computations, cells, cells_of, docs_cells, join_pages,
};

} // namespace

extern "C" const Functions* knnscope_faiss() {
    return &functions;
}
