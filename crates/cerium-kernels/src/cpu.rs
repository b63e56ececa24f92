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
    /// AVX-512 VNNI, and products of whole tiles for batches.
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    Amx,
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
                #[cfg(target_os = "linux")]
                if amx::is_usable() {
                    paths.push(Self(Isa::Amx));
                }
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
            #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
            Isa::Amx => "amx-int8",
        }
    }
}

/// Whether this process may use AMX: the processor has it, the system saves its registers, and the
/// kernel permits it, which it does on request (Linux, `Documentation/arch/x86/xstate.rst`).
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod amx {
    use std::arch::x86_64::__cpuid_count;
    use std::sync::OnceLock;

    /// Bits of `edx` in leaf 7: tiles, and products of bytes.
    const TILE_INT8: u32 = 1 << 24 | 1 << 25;
    /// `arch_prctl` request for a state component, and the component of tile data.
    const ARCH_REQ_XCOMP_PERM: libc::c_ulong = 0x1023;
    const XFEATURE_XTILEDATA: libc::c_ulong = 18;

    pub(super) fn is_usable() -> bool {
        static USABLE: OnceLock<bool> = OnceLock::new();
        *USABLE.get_or_init(|| __cpuid_count(7, 0).edx & TILE_INT8 == TILE_INT8 && is_permitted())
    }

    /// The kernel refuses a component that the processor or the system does not have.
    fn is_permitted() -> bool {
        // SAFETY: the call takes two numbers and touches no memory of ours.
        unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0 }
    }
}

/// Compiles one portable body once per instruction set and calls the copy that `$cpu` licenses.
///
/// The body must be an `#[inline(always)]` function: its plain loops are vectorised with whatever
/// the copy's features allow. No float operation is reordered, so every copy gives the same bits.
macro_rules! per_isa {
    ($cpu:expr, $($body:ident)::+ ( $($arg:ident : $ty:ty),* $(,)? ) $(-> $ret:ty)?) => {{
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx2,fma,f16c")]
        #[allow(clippy::too_many_arguments, reason = "mirrors the body")]
        fn avx2($($arg: $ty),*) $(-> $ret)? { $($body)::+($($arg),*) }
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512vnni")]
        #[allow(clippy::too_many_arguments, reason = "mirrors the body")]
        fn avx512($($arg: $ty),*) $(-> $ret)? { $($body)::+($($arg),*) }
        match $cpu.0 {
            $crate::cpu::Isa::Scalar => $($body)::+($($arg),*),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `available` makes this value only after detecting these features.
            $crate::cpu::Isa::Avx2 => unsafe { avx2($($arg),*) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            $crate::cpu::Isa::Avx512Vnni => unsafe { avx512($($arg),*) },
            #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
            // SAFETY: AMX is only taken where AVX-512 was detected.
            $crate::cpu::Isa::Amx => unsafe { avx512($($arg),*) },
        }
    }};
}
pub(crate) use per_isa;
