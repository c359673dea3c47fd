//! Whether OpenH264 was built with its assembly.
//!
//! Its build script assembles the x86 code with `nasm`, and silently leaves it out where there is
//! no `nasm`. The C compiler assembles the code for ARM itself, except on Windows, where that is
//! left out as well.

use std::ffi::c_int;

unsafe extern "C" {
    /// OpenH264's own answer to the question which of its fast code may run on this processor, one
    /// bit a feature. It is 0 where the library was built without any.
    fn WelsCPUFeatureDetect(cores: *mut c_int) -> u32;
}

/// Whether video is decoded and encoded by OpenH264's assembly. Without it both take up to 1.7
/// times as long.
pub fn has_assembly() -> bool {
    let mut cores = 0;
    // SAFETY: the function is part of the library that `openh264-sys2` compiles and links, has C
    // linkage, and writes nothing but the number of cores.
    unsafe { WelsCPUFeatureDetect(&raw mut cores) != 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    #[test]
    fn the_answer_agrees_with_the_symbols_of_this_program() {
        // This symbol is defined in an assembly file, and named only where that was assembled. It
        // is spelt backwards, so that the text of this test is not found instead.
        let symbol: String = "yfireVdIUPCsleW".chars().rev().collect();
        let program = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let defined = program
            .windows(symbol.len())
            .any(|bytes| bytes == symbol.as_bytes());
        assert_eq!(has_assembly(), defined);
    }

    #[cfg(all(target_arch = "aarch64", not(target_os = "windows")))]
    #[test]
    fn on_arm_it_is_always_there() {
        assert!(has_assembly());
    }
}
