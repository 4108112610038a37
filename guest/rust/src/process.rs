//! The channel of this process, and the indexes of its threads.
//!
//! SPDX-License-Identifier: MIT

use std::cell::Cell;
use std::fs::{File, OpenOptions};
use std::io::{Error, ErrorKind, Read, Result};
use std::os::raw::{c_int, c_void};
use std::os::unix::io::AsRawFd;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::sync::Mutex;

use crate::{total_size, Channel, HEADER_BYTES};

// The C library, which std uses, too.
extern "C" {
    fn mmap(address: *mut c_void, size: usize, protection: c_int, flags: c_int, fd: c_int, offset: isize) -> *mut c_void;
    fn fcntl(fd: c_int, command: c_int, ...) -> c_int;
}

const READ_WRITE: c_int = 3;
const SHARED: c_int = 1;
const F_OFD_SETLK: c_int = 37;
const NONE: u64 = u64::MAX;

#[repr(C)]
struct Flock {
    kind: i16,
    whence: i16,
    start: i64,
    length: i64,
    pid: i32,
}

struct Process {
    channel: Channel,
    file: File,
    indexes: Mutex<Indexes>,
}

struct Indexes {
    /// All indexes from this one on are in use, by this process or by others.
    next: u64,
    free: Vec<u32>,
}

static PROCESS: AtomicPtr<Process> = AtomicPtr::new(ptr::null_mut());
static OPENING: Mutex<()> = Mutex::new(());

/// The index of a thread, which is free again when the thread exits.
struct Own(Cell<u64>);

impl Drop for Own {
    fn drop(&mut self) {
        if let (Some(process), true) = (current(), self.0.get() != NONE) {
            process.indexes.lock().unwrap().free.push(self.0.get() as u32);
        }
    }
}

thread_local! {
    static OWN: Own = const { Own(Cell::new(NONE)) };
}

#[inline]
fn current() -> Option<&'static Process> {
    unsafe { PROCESS.load(Ordering::Acquire).as_ref() }
}

/// Whether a channel is open.
pub fn is_open() -> bool {
    current().is_some()
}

/// Open the channel `path`, as htrun's `--hypertrace`; `None` stands for the path that htrun sets in the environment.
/// Further calls do nothing. Programs may ignore the error.
pub fn open(path: Option<&str>) -> Result<()> {
    let _guard = OPENING.lock().unwrap();
    if is_open() {
        return Ok(());
    }
    let named = match path {
        Some(path) => path.into(),
        None => std::env::var_os("HYPERTRACE").ok_or(ErrorKind::NotFound)?,
    };
    let mut file = OpenOptions::new().read(true).write(true).open(named)?;
    let mut header = [0; HEADER_BYTES];
    file.read_exact(&mut header)?;
    let size = total_size(&header).ok_or(ErrorKind::InvalidData)? as usize;
    let memory = map(&file, size)?;
    let channel = unsafe { Channel::from_header(&header, memory) };
    let indexes = Mutex::new(Indexes { next: channel.max_clients(), free: Vec::new() });
    let process = Box::new(Process { channel, file, indexes });
    PROCESS.store(Box::into_raw(process), Ordering::Release);
    Ok(())
}

/// Maps the first `size` bytes of a file for reading and writing, and for as long as the process lives.
pub(crate) fn map(file: &File, size: usize) -> Result<*mut u8> {
    let memory = unsafe { mmap(ptr::null_mut(), size, READ_WRITE, SHARED, file.as_raw_fd(), 0) };
    if memory as isize == -1 {
        return Err(Error::last_os_error());
    }
    Ok(memory.cast())
}

impl Process {
    /// The highest free index, held by a lock on that byte of the channel's file until the process exits, as the
    /// library in C does. An index that the channel does not have if all are taken: htrun warns about it.
    #[cold]
    fn claim(&self) -> u64 {
        let mut indexes = self.indexes.lock().unwrap();
        if let Some(index) = indexes.free.pop() {
            return index.into();
        }
        while indexes.next > 0 {
            indexes.next -= 1;
            let lock = Flock { kind: 1, whence: 0, start: indexes.next as i64, length: 1, pid: 0 };
            if unsafe { fcntl(self.file.as_raw_fd(), F_OFD_SETLK, &lock) } == 0 {
                return indexes.next;
            }
        }
        NONE
    }
}

/// The number of words of an event in the open channel: its id, and then its arguments. 0 without a channel.
pub fn num_args() -> usize {
    current().map_or(0, |process| process.channel.num_args())
}

/// Emit an event of the kind `id` with the index of this thread, if a channel is open. The channel must have room for
/// the arguments.
#[inline]
pub fn emit<const N: usize>(id: u64, args: [u64; N]) {
    emit_slice(id, &args);
}

/// The same with a number of arguments that is known at run time only.
#[inline]
pub fn emit_slice(id: u64, args: &[u64]) {
    if let Some(process) = current() {
        emit_to(process, id, args);
    }
}

#[inline]
fn emit_to(process: &Process, id: u64, args: &[u64]) {
    // A thread that exits may have destroyed its index already.
    let _ = OWN.try_with(|own| {
        let mut index = own.0.get();
        if index == NONE {
            index = process.claim();
            own.0.set(index);
        }
        if index != NONE {
            unsafe { process.channel.emit_slice(index as u32, id, args) };
        }
    });
}

/// A span that ends when it is dropped.
#[must_use = "the span ends when this is dropped"]
pub struct Span {
    end: u64,
}

impl Span {
    /// Begins a span. `begin`, `end`: the ids of its events.
    #[inline]
    pub fn new<const N: usize>(begin: u64, args: [u64; N], end: u64) -> Span {
        emit(begin, args);
        Span { end }
    }
}

impl Drop for Span {
    #[inline]
    fn drop(&mut self) {
        emit(self.end, []);
    }
}
