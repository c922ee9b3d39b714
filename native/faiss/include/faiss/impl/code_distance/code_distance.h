// Stands in for the header of this name in FAISS: the distance of a code of a product quantizer is looked up one
// part at a time, on every CPU. FAISS gathers eight parts at once on x86 (more or fewer on Arm with SVE), which CPUs
// whose gathers are guarded against leaks run several times slower than single loads. Sums are in another order than
// FAISS's, so they may differ by rounding.

#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include <faiss/impl/ProductQuantizer.h>

namespace faiss {

namespace knnscope {

/// Codes that are looked up side by side, so that loads need not wait for the sums before them.
template <size_t COUNT>
struct Codes {
    const uint8_t* code[COUNT];
};

/// `table`: M rows of 256. Even and odd parts of whole eights are added up apart, for more sums that do not
/// wait for each other.
template <size_t COUNT>
inline void look_up_bytes(const size_t M, const float* table, const Codes<COUNT>& codes, float (&results)[COUNT]) {
    constexpr size_t ROW = 256;
    float even[COUNT] = {}, odd[COUNT] = {};
    size_t m = 0;
    for (; m + 8 <= M; m += 8, table += 8 * ROW) {
        for (size_t i = 0; i < COUNT; ++i) {
            uint64_t eight;
            std::memcpy(&eight, codes.code[i] + m, sizeof(eight));
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
            eight = __builtin_bswap64(eight);
#endif
            even[i] += table[0 * ROW + (eight & 255)];
            odd[i] += table[1 * ROW + (eight >> 8 & 255)];
            even[i] += table[2 * ROW + (eight >> 16 & 255)];
            odd[i] += table[3 * ROW + (eight >> 24 & 255)];
            even[i] += table[4 * ROW + (eight >> 32 & 255)];
            odd[i] += table[5 * ROW + (eight >> 40 & 255)];
            even[i] += table[6 * ROW + (eight >> 48 & 255)];
            odd[i] += table[7 * ROW + (eight >> 56)];
        }
    }
    for (; m < M; ++m, table += ROW) {
        for (size_t i = 0; i < COUNT; ++i) {
            even[i] += table[codes.code[i][m]];
        }
    }
    for (size_t i = 0; i < COUNT; ++i) {
        results[i] = even[i] + odd[i];
    }
}

template <typename PQDecoderT, size_t COUNT>
inline void look_up(
        const size_t M,
        const size_t nbits,
        const float* table,
        const Codes<COUNT>& codes,
        float (&results)[COUNT]) {
    if (std::is_same<PQDecoderT, PQDecoder8>::value) {
        look_up_bytes(M, table, codes, results);
        return;
    }
    for (size_t i = 0; i < COUNT; ++i) {
        PQDecoderT decoder(codes.code[i], int(nbits));
        const float* row = table;
        results[i] = 0;
        for (size_t m = 0; m < M; ++m, row += size_t(1) << nbits) {
            results[i] += row[decoder.decode()];
        }
    }
}

} // namespace knnscope

/// `sim_table`: M rows of 2^nbits precomputed distances.
template <typename PQDecoderT>
inline float distance_single_code(
        const size_t M,
        const size_t nbits,
        const float* sim_table,
        const uint8_t* code) {
    float results[1];
    knnscope::look_up<PQDecoderT, 1>(M, nbits, sim_table, {{code}}, results);
    return results[0];
}

template <typename PQDecoderT>
inline void distance_four_codes(
        const size_t M,
        const size_t nbits,
        const float* sim_table,
        const uint8_t* __restrict code0,
        const uint8_t* __restrict code1,
        const uint8_t* __restrict code2,
        const uint8_t* __restrict code3,
        float& result0,
        float& result1,
        float& result2,
        float& result3) {
    float results[4];
    knnscope::look_up<PQDecoderT, 4>(M, nbits, sim_table, {{code0, code1, code2, code3}}, results);
    result0 = results[0];
    result1 = results[1];
    result2 = results[2];
    result3 = results[3];
}

} // namespace faiss
