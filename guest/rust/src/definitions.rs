//! Definitions of events that are known only at run time, in a mapping that htrun finds.
//!
//! SPDX-License-Identifier: MIT

use std::fs::File;
use std::io::{Error, Result};
use std::os::raw::{c_char, c_int, c_uint};
use std::os::unix::io::FromRawFd;
use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::Mutex;

use crate::process::map;

extern "C" {
    fn memfd_create(name: *const c_char, flags: c_uint) -> c_int;
}

const CLOSE_ON_EXEC: c_uint = 1;
const SIZE: usize = 1 << 16;
const NAME: &[u8; 12] = b"hypertrace\0\0";
/// The NUL at the end of the name is padding.
const NAME_BYTES: u32 = 11;

/// The part of the mapping that has no notes yet.
struct Free {
    at: *mut u8,
    size: usize,
}

unsafe impl Send for Free {}

static FREE: Mutex<Free> = Mutex::new(Free { at: ptr::null_mut(), size: 0 });

/// Passes definitions of events to htrun: a TOML text as for htrun --events. Use it for definitions that are known only
/// at run time; for others, use `definitions!`. Programs may ignore the error: then the events have no names.
pub fn define(text: &str) -> Result<()> {
    let contents = (text.len() + 3) / 4 * 4;
    let size = 12 + NAME.len() + contents;
    let mut free = FREE.lock().unwrap();
    if free.size < size {
        *free = more(size.max(SIZE))?;
    }
    // The file is new, so the bytes after the text are NULs.
    unsafe {
        ptr::copy_nonoverlapping((contents as u32).to_le_bytes().as_ptr(), free.at.add(4), 4);
        ptr::copy_nonoverlapping(1u32.to_le_bytes().as_ptr(), free.at.add(8), 4);
        ptr::copy_nonoverlapping(NAME.as_ptr(), free.at.add(12), NAME.len());
        ptr::copy_nonoverlapping(text.as_ptr(), free.at.add(12 + NAME.len()), text.len());
        // htrun may read at any time: the note is there when its name has a size.
        (*free.at.cast::<AtomicU32>()).store(NAME_BYTES.to_le(), Ordering::Release);
        free.at = free.at.add(size);
    }
    free.size -= size;
    Ok(())
}

/// htrun finds the mapping by the name of its file.
fn more(size: usize) -> Result<Free> {
    let descriptor = unsafe { memfd_create(b"hypertrace-events\0".as_ptr().cast(), CLOSE_ON_EXEC) };
    if descriptor < 0 {
        return Err(Error::last_os_error());
    }
    let file = unsafe { File::from_raw_fd(descriptor) };
    file.set_len(size as u64)?;
    Ok(Free { at: map(&file, size)?, size })
}
