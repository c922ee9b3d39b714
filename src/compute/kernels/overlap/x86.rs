//! Kernels of columns in registers of AVX-512 and AVX2.

use std::arch::x86_64::{
    __m512i, _mm256_storeu_si256, _mm512_add_epi32, _mm512_castsi512_si256, _mm512_cvtepi32_epi16,
    _mm512_cvtepu16_epi32, _mm512_extracti64x4_epi64, _mm512_load_si512, _mm512_loadu_si512, _mm512_mask_add_epi16,
    _mm512_maskz_compress_epi32, _mm512_set1_epi16, _mm512_set1_epi32, _mm512_setr_epi32, _mm512_setzero_si512,
    _mm512_slli_epi32, _mm512_store_si512, _mm512_storeu_si512, _mm512_sub_epi32, _mm512_ternarylogic_epi64,
};

use super::{
    BLOCK, BlockRow, CHUNK_WORDS, Chunk, Lanes, ListedColumn, PairPlanes, Planes, RowLists, Words, add_rows_with,
    counts_of, differing_bits, distances_of, place_of,
};

/// Registers that hold a count of 16 bits for each column of a block.
const PARTS: usize = BLOCK / 32;

/// A register of 512 bits. Only made by functions that were compiled for AVX-512.
#[derive(Clone, Copy)]
struct Register(__m512i);

impl Lanes for Register {
    #[inline(always)]
    fn load(row: &BlockRow) -> Self {
        // SAFETY: a row has 512 bits and is aligned to them; this is inlined into a function compiled for AVX-512.
        Self(unsafe { _mm512_load_si512(row.0.as_ptr().cast()) })
    }

    #[inline(always)]
    fn store(self, row: &mut BlockRow) {
        // SAFETY: as above.
        unsafe { _mm512_store_si512(row.0.as_mut_ptr().cast(), self.0) }
    }

    #[inline(always)]
    fn sum(a: Self, b: Self, c: Self) -> Self {
        // SAFETY: as above. The truth table of a ^ b ^ c.
        Self(unsafe { _mm512_ternarylogic_epi64::<0x96>(a.0, b.0, c.0) })
    }

    #[inline(always)]
    fn carry(a: Self, b: Self, sum: Self) -> Self {
        // SAFETY: as above. The truth table of (a & b) | ((a ^ b) & !sum).
        Self(unsafe { _mm512_ternarylogic_epi64::<0xd4>(a.0, b.0, sum.0) })
    }
}

#[target_feature(enable = "avx512f,avx512vl,avx2")]
pub fn add_rows_avx512(chunk: &Chunk, next: &[BlockRow], pairs: &[RowLists], index: usize, planes: &mut [PairPlanes]) {
    add_rows_with::<Register>(chunk, next, pairs, index, planes);
}

#[target_feature(enable = "avx2")]
pub fn add_rows_avx2(chunk: &Chunk, next: &[BlockRow], pairs: &[RowLists], index: usize, planes: &mut [PairPlanes]) {
    add_rows_with::<Words>(chunk, next, pairs, index, planes);
}

#[target_feature(enable = "avx512f,avx512vl,avx2,popcnt")]
pub fn list_places_avx512(class: &[u64; CHUNK_WORDS], places: &mut [u16], end: usize) -> usize {
    let mut end = end;
    let step = _mm512_set1_epi32(i32::from(place_of(16)));
    let mut sixteen = _mm512_setr_epi32(0, 64, 128, 192, 256, 320, 384, 448, 512, 576, 640, 704, 768, 832, 896, 960);
    for &bits in class {
        for part in 0..4 {
            let mask = (bits >> (part * 16)) as u16;
            let listed = _mm512_cvtepi32_epi16(_mm512_maskz_compress_epi32(mask, sixteen));
            let room = &mut places[end..end + 16];
            // SAFETY: sixteen places have 256 bits.
            unsafe { _mm256_storeu_si256(room.as_mut_ptr().cast(), listed) };
            end += mask.count_ones() as usize;
            sixteen = _mm512_add_epi32(sixteen, step);
        }
    }
    end
}

/// A plane's bits are masks: each adds its weight to 32 counts at once.
#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx2")]
pub fn distances_avx512(
    column: ListedColumn,
    planes: &Planes,
    carried: &[u32; BLOCK],
    ones: &[u32; BLOCK],
    distances: &mut [u32; BLOCK],
) {
    // Of known number, so that all of them stay in registers.
    let mut totals = [_mm512_setzero_si512(); PARTS];
    for (weight, plane) in planes.0[..column.planes].iter().enumerate() {
        let weight = _mm512_set1_epi16(1 << weight);
        for (part, total) in totals.iter_mut().enumerate() {
            let mask = (plane.0[part / 2] >> (part % 2 * 32)) as u32;
            *total = _mm512_mask_add_epi16(*total, mask, *total, weight);
        }
    }
    let own = _mm512_set1_epi32(column.ones.cast_signed());
    let (carried, ones) = (carried.as_chunks::<16>().0, ones.as_chunks::<16>().0);
    let distances = distances.as_chunks_mut::<16>().0;
    for (part, &total) in totals.iter().enumerate() {
        let halves = [_mm512_castsi512_si256(total), _mm512_extracti64x4_epi64::<1>(total)];
        for (half, counts) in halves.into_iter().enumerate() {
            let place = part * 2 + half;
            // SAFETY: sixteen values have 512 bits.
            let (carried, ones) = unsafe {
                (_mm512_loadu_si512(carried[place].as_ptr().cast()), _mm512_loadu_si512(ones[place].as_ptr().cast()))
            };
            let count = _mm512_add_epi32(_mm512_cvtepu16_epi32(counts), carried);
            let apart = _mm512_sub_epi32(ones, _mm512_slli_epi32::<1>(count));
            let found = if column.is_inverted { _mm512_sub_epi32(own, apart) } else { _mm512_add_epi32(own, apart) };
            // SAFETY: as above.
            unsafe { _mm512_storeu_si512(distances[place].as_mut_ptr().cast(), found) };
        }
    }
}

#[target_feature(enable = "avx2")]
pub fn distances_avx2(
    column: ListedColumn,
    planes: &Planes,
    carried: &[u32; BLOCK],
    ones: &[u32; BLOCK],
    distances: &mut [u32; BLOCK],
) {
    distances_of(column, planes, carried, ones, distances);
}

#[target_feature(enable = "avx2")]
pub fn counts_avx2(planes: &Planes, counts: &mut [u16; BLOCK]) {
    counts_of(planes, counts);
}

#[target_feature(enable = "avx512f,avx512vl,avx512vpopcntdq,avx2")]
pub fn differing_vpopcntdq(left: &[u64], right: &[u64]) -> u64 {
    differing_bits(left, right)
}

#[target_feature(enable = "avx2")]
pub fn differing_avx2(left: &[u64], right: &[u64]) -> u64 {
    differing_bits(left, right)
}
