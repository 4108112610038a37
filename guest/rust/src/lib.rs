//! Emit events through a hypertrace channel, for htrun to record. Without htrun, events do nothing.
//!
//! ```no_run
//! hypertrace::definitions!("[[event]]\nid = 1\nname = \"work\"\nphase = \"begin\"\nargs = [\"size\"]\n\
//!     [[event]]\nid = 2\nname = \"work\"\nphase = \"end\"\n");
//!
//! hypertrace::open(None).ok();
//! {
//!     hypertrace::span!(1, 2, 4096u64); // until the end of this scope
//! }
//! ```
//!
//! Each thread has an index of its own. An event is a store, which needs ptrace: htrun replaces it by a jump to code
//! that writes the record.
//!
//! SPDX-License-Identifier: MIT

#![cfg_attr(not(feature = "std"), no_std)]
#![warn(missing_docs)]

#[cfg(feature = "std")]
mod definitions;
#[cfg(feature = "std")]
mod process;
#[cfg(feature = "std")]
pub use definitions::define;
#[cfg(feature = "std")]
pub use process::{emit, emit_slice, is_open, num_args, open, Span};

/// A channel in memory.
#[derive(Clone, Copy, Debug)]
pub struct Channel {
    control: *mut u32,
    data: *mut u64,
    stride: usize,
    num_args: usize,
    max_clients: u64,
}

unsafe impl Send for Channel {}
unsafe impl Sync for Channel {}

/// The bytes of a channel's header.
pub const HEADER_BYTES: usize = 64;

fn little_endian(header: &[u8; HEADER_BYTES], at: usize) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&header[at..at + 8]);
    u64::from_le_bytes(bytes)
}

/// The size in bytes of the channel with this header; `None` if it is not the header of a channel of version 1.
pub fn total_size(header: &[u8; HEADER_BYTES]) -> Option<u64> {
    let version = (little_endian(header, 8) & 0xffff_ffff) as u32;
    (&header[..8] == b"HYPRTRC1" && version == 1).then(|| little_endian(header, 0x38))
}

impl Channel {
    /// The channel with `header`, which is mapped at `memory`.
    ///
    /// # Safety
    ///
    /// `memory` must stay mapped, and must have `total_size(header)` bytes.
    pub unsafe fn from_header(header: &[u8; HEADER_BYTES], memory: *mut u8) -> Channel {
        Channel {
            control: memory.add(little_endian(header, 0x18) as usize).cast(),
            data: memory.add(little_endian(header, 0x28) as usize).cast(),
            stride: little_endian(header, 0x30) as usize,
            num_args: (little_endian(header, 8) >> 32) as usize,
            max_clients: little_endian(header, 0x10),
        }
    }

    /// The number of words of an event: its id, and then its arguments.
    pub fn num_args(&self) -> usize {
        self.num_args
    }

    /// The number of indexes. Valid ones are smaller.
    pub fn max_clients(&self) -> u64 {
        self.max_clients
    }

    /// Emit an event with the slot of `index`. Arguments for which the channel has no room are left out.
    ///
    /// # Safety
    ///
    /// No other thread may use `index` at the same time, and it must be smaller than `max_clients()`.
    #[inline]
    pub unsafe fn emit<const N: usize>(&self, index: u32, id: u64, args: [u64; N]) {
        self.emit_slice(index, id, &args);
    }

    /// The same with a number of arguments that is known at run time only.
    ///
    /// # Safety
    ///
    /// As for `emit()`.
    #[inline]
    pub unsafe fn emit_slice(&self, index: u32, id: u64, args: &[u64]) {
        let slot = self.data.cast::<u8>().add(index as usize * self.stride).cast::<u64>();
        slot.write_volatile(id);
        let mut place = 0;
        while place < args.len() && place + 1 < self.num_args {
            slot.add(1 + place).write_volatile(args[place]);
            place += 1;
        }
        self.store(index);
    }

    /// The displacement makes the instruction long enough for a jump in its place.
    #[cfg(target_arch = "x86_64")]
    #[inline]
    unsafe fn store(&self, index: u32) {
        let control = self.control.cast::<u8>().wrapping_sub(128);
        core::arch::asm!("mov dword ptr [{0} + 128], {1:e}", in(reg) control, in(reg) index, options(nostack));
    }

    #[cfg(not(target_arch = "x86_64"))]
    #[inline]
    unsafe fn store(&self, index: u32) {
        core::sync::atomic::fence(core::sync::atomic::Ordering::Release);
        self.control.write_volatile(index);
    }
}

/// The 64 bits of an argument.
pub trait Word: Copy {
    /// The bits.
    fn word(self) -> u64;
}

macro_rules! words {
    ($($integer:ty)*) => { $(impl Word for $integer {
        #[inline]
        fn word(self) -> u64 {
            self as u64
        }
    })* };
}

words!(u8 u16 u32 u64 usize i8 i16 i32 i64 isize bool);

impl Word for f64 {
    #[inline]
    fn word(self) -> u64 {
        self.to_bits()
    }
}

/// `event!(id, args...)` emits an event.
#[cfg(feature = "std")]
#[macro_export]
macro_rules! event {
    ($id:expr $(, $arg:expr)* $(,)?) => { $crate::emit($id, [$($crate::Word::word($arg)),*]) };
}

/// `span!(begin, end, args...)` is a span until the end of the scope, with the ids of the events that begin and end it.
#[cfg(feature = "std")]
#[macro_export]
macro_rules! span {
    ($begin:expr, $end:expr $(, $arg:expr)* $(,)?) => {
        let _span = $crate::Span::new($begin, [$($crate::Word::word($arg)),*], $end);
    };
}

/// A note with the definitions of events; see `definitions!`.
#[doc(hidden)]
#[repr(C, align(4))]
pub struct Note<const N: usize> {
    /// The sizes of name and text, and the version of the format.
    pub header: [u32; 3],
    /// The name of the note.
    pub name: [u8; 12],
    /// The text.
    pub text: [u8; N],
}

/// The text, and NULs at its end.
#[doc(hidden)]
pub const fn padded<const N: usize>(text: &str) -> [u8; N] {
    let mut bytes = [0; N];
    let mut at = 0;
    while at < text.len() {
        bytes[at] = text.as_bytes()[at];
        at += 1;
    }
    bytes
}

/// Puts the definitions of events, a TOML text as for htrun --events, into the program, where htrun finds them.
#[macro_export]
macro_rules! definitions {
    ($text:expr) => {
        const _: () = {
            const SIZE: usize = ($text.len() + 3) / 4 * 4;
            #[used]
            #[cfg_attr(any(target_os = "linux", target_os = "none"), link_section = ".note.hypertrace")]
            static NOTE: $crate::Note<SIZE> = $crate::Note {
                header: [11, SIZE as u32, 1],
                name: *b"hypertrace\0\0",
                text: $crate::padded($text),
            };
        };
    };
}
