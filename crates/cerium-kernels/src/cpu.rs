//! Which instructions this processor was seen to have.

/// A code path this CPU was seen to support. Holding one is the licence to use it.
///
/// Every path computes the same bits: integer sums are exact, and all float operations are done
/// in the same order with the same roundings. Paths differ in speed only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cpu(pub(crate) Isa);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Isa {
    Scalar,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512Vnni,
}

impl Cpu {
    /// The definition's path, which runs anywhere.
    pub const SCALAR: Self = Self(Isa::Scalar);

    /// The detected paths, slowest first; the first one is always [`Cpu::SCALAR`].
    pub fn available() -> Vec<Self> {
        #[allow(unused_mut, reason = "only x86-64 has further paths")]
        let mut paths = vec![Self::SCALAR];
        #[cfg(target_arch = "x86_64")]
        {
            let avx2 = is_x86_feature_detected!("avx2")
                && is_x86_feature_detected!("fma")
                && is_x86_feature_detected!("f16c");
            if avx2 {
                paths.push(Self(Isa::Avx2));
            }
            if avx2
                && is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512vl")
                && is_x86_feature_detected!("avx512vnni")
            {
                paths.push(Self(Isa::Avx512Vnni));
            }
        }
        paths
    }

    /// The fastest detected path.
    pub fn best() -> Self {
        Self::available().pop().unwrap_or(Self::SCALAR)
    }

    /// Name for people and reports.
    pub fn name(self) -> &'static str {
        match self.0 {
            Isa::Scalar => "scalar",
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512Vnni => "avx512-vnni",
        }
    }
}

/// Compiles one portable body once per instruction set and calls the copy that `$cpu` licenses.
///
/// The body must be an `#[inline(always)]` function: its plain loops are vectorised with whatever
/// the copy's features allow. No float operation is reordered, so every copy gives the same bits.
macro_rules! per_isa {
    ($cpu:expr, $body:ident ( $($arg:ident : $ty:ty),* $(,)? ) $(-> $ret:ty)?) => {{
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx2,fma,f16c")]
        #[allow(clippy::too_many_arguments, reason = "mirrors the body")]
        fn avx2($($arg: $ty),*) $(-> $ret)? { $body($($arg),*) }
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512vnni")]
        #[allow(clippy::too_many_arguments, reason = "mirrors the body")]
        fn avx512($($arg: $ty),*) $(-> $ret)? { $body($($arg),*) }
        match $cpu.0 {
            $crate::cpu::Isa::Scalar => $body($($arg),*),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `available` makes this value only after detecting these features.
            $crate::cpu::Isa::Avx2 => unsafe { avx2($($arg),*) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            $crate::cpu::Isa::Avx512Vnni => unsafe { avx512($($arg),*) },
        }
    }};
}
pub(crate) use per_isa;
