//! The logistic functions of the bit mixer, in integers: the same on every machine.

/// `4096 / (1 + e^(-x/256))` for `x` in steps of 128, from -2048 to 2048.
const SQUASH_KNOTS: [i32; 33] = [
    1, 2, 3, 6, 10, 16, 27, 45, 73, 120, 194, 310, 488, 747, 1101, 1546, 2047, 2549, 2994, 3348, 3607, 3785,
    3901, 3975, 4022, 4050, 4068, 4079, 4085, 4089, 4092, 4093, 4094,
];

/// Probability (1..=4095 of 4096) of a logit given in 1/256.
pub(crate) const fn squash(x: i32) -> i32 {
    if x > 2047 {
        return 4095;
    }
    if x < -2047 {
        return 1;
    }
    let knot = ((x + 2048) >> 7) as usize;
    let rest = (x + 2048) & 127;
    (SQUASH_KNOTS[knot] * (128 - rest) + SQUASH_KNOTS[knot + 1] * rest + 64) >> 7
}

/// Inverse of [`squash`], one entry for each fourth of the 4,096 probabilities.
static STRETCH: [i16; 1024] = stretch_table();

const fn stretch_table() -> [i16; 1024] {
    let mut table = [0i16; 1024];
    let mut x = -2047;
    let mut next = 0usize;
    while x <= 2047 {
        let slot = (squash(x) >> 2) as usize;
        while next <= slot && next < 1024 {
            table[next] = x as i16;
            next += 1;
        }
        x += 1;
    }
    while next < 1024 {
        table[next] = 2047;
        next += 1;
    }
    table
}

/// Logit in 1/256 of a probability of 4096.
pub(crate) fn stretch(p: i32) -> i32 {
    i32::from(STRETCH[(p as usize >> 2) & 1023])
}

/// `65536 / (n + 1.5)`: the step of an estimator that has seen `n` bits.
pub(crate) static STEP: [u16; 256] = step_table();

const fn step_table() -> [u16; 256] {
    let mut table = [0u16; 256];
    let mut n = 0;
    while n < 256 {
        table[n] = (131_072 / (2 * n as u32 + 3)) as u16;
        n += 1;
    }
    table
}
