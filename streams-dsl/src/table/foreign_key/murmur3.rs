//! The hash by which a foreign-key join tells whether a response still fits: the JVM's
//! 128-bit MurmurHash3 with its seed, of the left value's bytes.

/// What identifies a value: two numbers of 64 bits, each big-endian.
pub(crate) type ValueHash = [u8; HASH_LEN];

/// How long a hash is.
pub(crate) const HASH_LEN: usize = 16;

const SEED: u64 = 104_729;
const C1: u64 = 0x87c3_7b91_1142_53d5;
const C2: u64 = 0x4cf5_ad43_2745_937f;

/// The hash of a value's bytes.
pub(crate) fn hash(bytes: &[u8]) -> ValueHash {
    let (mut h1, mut h2) = (SEED, SEED);
    let (blocks, tail) = bytes.as_chunks::<16>();
    for block in blocks {
        let [k1, k2] = words(block);
        h1 ^= mixed_first(k1);
        h1 = h1.rotate_left(27).wrapping_add(h2).wrapping_mul(5).wrapping_add(0x52dc_e729);
        h2 ^= mixed_second(k2);
        h2 = h2.rotate_left(31).wrapping_add(h1).wrapping_mul(5).wrapping_add(0x3849_5ab5);
    }
    let mut last = [0; 16];
    last[..tail.len()].copy_from_slice(tail);
    // Zeros that fill the block up mix to zero, and change nothing.
    let [k1, k2] = words(&last);
    h2 ^= mixed_second(k2);
    h1 ^= mixed_first(k1);

    h1 ^= bytes.len() as u64;
    h2 ^= bytes.len() as u64;
    h1 = h1.wrapping_add(h2);
    h2 = h2.wrapping_add(h1);
    h1 = finished(h1);
    h2 = finished(h2);
    h1 = h1.wrapping_add(h2);
    h2 = h2.wrapping_add(h1);

    let mut out = [0; HASH_LEN];
    out[..8].copy_from_slice(&h1.to_be_bytes());
    out[8..].copy_from_slice(&h2.to_be_bytes());
    out
}

fn words(block: &[u8; 16]) -> [u64; 2] {
    let both = u128::from_le_bytes(*block);
    [both as u64, (both >> 64) as u64]
}

fn mixed_first(k: u64) -> u64 {
    k.wrapping_mul(C1).rotate_left(31).wrapping_mul(C2)
}

fn mixed_second(k: u64) -> u64 {
    k.wrapping_mul(C2).rotate_left(33).wrapping_mul(C1)
}

fn finished(mut h: u64) -> u64 {
    h ^= h >> 33;
    h = h.wrapping_mul(0xff51_afd7_ed55_8ccd);
    h ^= h >> 33;
    h = h.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    h ^ (h >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_the_jvm() {
        let hex = |text: &str| hash(text.as_bytes()).map(|byte| format!("{byte:02x}")).concat();
        assert_eq!(hex(""), "9d2764a018e329428c3cf3b035938518");
        assert_eq!(hex("hello"), "30bfb4f39919e764566aea857401d1c6");
        // Written by Kafka Streams 4.1, of a full block and of more than one.
        assert_eq!(hex("0123456789abcdef"), "1a6e941ec6a76967d7d82808f505d6b1");
        assert_eq!(
            hex("The quick brown fox jumps over the lazy dog"),
            "e74c5921af0f99c8b7f85ec81df06726"
        );
    }
}
