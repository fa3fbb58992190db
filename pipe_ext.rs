// SPDX-License-Identifier: GPL-2.0

//! Notification pipes: pipes to userspace, a file type of their own to the kernel.
//!
//! `create_pipe_files()` makes the inode and two files of a notification pipe as it makes those of
//! any pipe, but they have the file operations below.  What `pipe(7)` says of pipes holds for them,
//! except that nobody can write to them.
//!
//! The inode's `i_private` owns a reference to the [`Queue`] as long as there are files; it is
//! guarded by `i_lock`.
//!
//! C header: [`include/linux/pipe_fs_i.h`](srctree/include/linux/pipe_fs_i.h)

use core::ptr;
use kernel::{
    bindings,
    error::from_result,
    fs::File,
    ioctl::_IO,
    iov::IovIterDest,
    page::PAGE_SIZE,
    prelude::*,
    sync::{
        lock::{spinlock::SpinLockBackend, Guard, Lock},
        Arc,
    },
    uaccess::{UserPtr, UserSlice},
};

pub(crate) mod destination;
mod fdinfo;

use self::destination::UserBuffer;
use crate::{
    filter::{Filter, Rule, MAX_RULES},
    queue::{Borrowed, Ends, Queue},
    sources,
    sync::{
        rcu_cell::RcuBox,
        wait::{Events, ERROR, HANGUP, READABLE, WRITABLE},
    },
};

/// The file operations of notification pipes.
#[repr(transparent)]
struct FileOperations(bindings::file_operations);

// SAFETY: It is a table of functions, and never changes.
unsafe impl Sync for FileOperations {}

static FILE_OPERATIONS: FileOperations = FileOperations(bindings::file_operations {
    open: Some(open),
    release: Some(release),
    read: Some(read),
    read_iter: Some(read_iter),
    write_iter: Some(write_iter),
    splice_write: Some(bindings::iter_file_splice_write),
    poll: Some(poll),
    unlocked_ioctl: Some(ioctl),
    compat_ioctl: bindings::compat_ptr_ioctl,
    fasync: Some(fasync),
    show_fdinfo: Some(fdinfo::show),
    ..pin_init::zeroed()
});

const SET_SIZE: u32 = _IO(b'W' as u32, 0x60);
const SET_FILTER: u32 = _IO(b'W' as u32, 0x61);

/// The queue of an open file, if that is a notification pipe.
///
/// # Safety
///
/// `file` is open, and stays so for `'a`.
pub(crate) unsafe fn queue_of_file<'a>(file: *mut bindings::file) -> Option<Borrowed<'a>> {
    // SAFETY: By the caller's promise.
    let ours = unsafe { ptr::eq((*file).f_op, &FILE_OPERATIONS.0) };
    // SAFETY: The file operations say that it is.
    ours.then(|| unsafe { queue_of(file) })
}

/// The queue of an open notification pipe.
///
/// # Safety
///
/// `file` is a notification pipe, is open, and stays so for `'a`.
#[inline]
pub(crate) unsafe fn queue_of<'a>(file: *mut bindings::file) -> Borrowed<'a> {
    // SAFETY: As long as there are files, `i_private` owns a reference.  The pointer came out of
    // `Arc::into_raw()`, in `watch_queue_init_inode()`.
    unsafe { Borrowed::from_raw((*(*file).f_inode).i_private.cast()) }
}

/// # Safety
///
/// `inode` is valid for `'a`.
unsafe fn lock_inode<'a>(inode: *mut bindings::inode) -> Guard<'a, (), SpinLockBackend> {
    // SAFETY: By the caller's promise.
    unsafe { Lock::from_raw(&raw mut (*inode).i_lock) }.lock()
}

/// Makes a new inode of pipefs that of a notification pipe, with a queue that counts on two files.
///
/// Returns 0 or `-ENOMEM`.
///
/// Context: Process context.
///
/// # Safety
///
/// `inode` is new but for its number, and valid.
#[export]
pub(crate) unsafe extern "C" fn watch_queue_init_inode(inode: *mut bindings::inode) -> c_int {
    from_result(|| {
        // SAFETY: The inode is valid, and has its number.
        let queue = Queue::new(unsafe { (*inode).i_ino })?;
        // SAFETY: By the caller's promise nobody else knows the inode.
        unsafe {
            (*inode).i_private = Arc::into_raw(queue).cast_mut().cast();
            (*inode).__bindgen_anon_3.i_fop = &FILE_OPERATIONS.0;
        }
        Ok(0)
    })
}

/// Drops what the inode of a notification pipe holds for one file.
///
/// Context: Process context.
///
/// # Safety
///
/// `inode` came from [`watch_queue_init_inode`], and this is called once for each of its files.
#[export]
pub(crate) unsafe extern "C" fn watch_queue_put_inode(inode: *mut bindings::inode) {
    // SAFETY: The inode is valid.
    let locked = unsafe { lock_inode(inode) };
    // SAFETY: The file that is being dropped is one for which `i_private` owns a reference.
    let queue = unsafe { Borrowed::<'_>::from_raw((*inode).i_private.cast()) };
    let last = queue.posts.with(|posts| {
        posts.ends.files -= 1;
        posts.ends.files == 0
    });
    if !last {
        return;
    }
    // SAFETY: As above; the reference is taken out of `i_private`.
    let queue: Arc<Queue> = unsafe {
        let private = core::mem::replace(&mut (*inode).i_private, ptr::null_mut());
        Arc::from_raw(private.cast())
    };
    drop(locked);
    queue.close();
}

/// What `pipe_fcntl()` answers for a notification pipe.
///
/// Returns the size in bytes for `F_GETPIPE_SZ`, `-EBUSY` for `F_SETPIPE_SZ`, `-EBADF` if `file` is
/// not a notification pipe, and `-EINVAL` otherwise.
///
/// Context: Process context.
///
/// # Safety
///
/// `file` is open.
#[export]
pub(crate) unsafe extern "C" fn watch_queue_fcntl(
    file: *mut bindings::file,
    cmd: c_uint,
) -> c_long {
    from_result(|| {
        // SAFETY: The caller keeps the file open.
        let queue = unsafe { queue_of_file(file) }.ok_or(EBADF)?;
        match cmd {
            bindings::F_GETPIPE_SZ => {
                // What userspace has always been told of a pipe as it is made.
                let pages = queue.pages().unwrap_or(bindings::PIPE_DEF_BUFFERS as usize);
                Ok((pages * PAGE_SIZE) as c_long)
            }
            bindings::F_SETPIPE_SZ => Err(EBUSY),
            _ => Err(EINVAL),
        }
    })
}

/// How a file was opened, as `f_mode` says.
#[derive(Clone, Copy)]
struct Mode {
    reads: bool,
    writes: bool,
}

impl Mode {
    /// # Safety
    ///
    /// `file` is valid.
    unsafe fn of(file: *mut bindings::file) -> Self {
        // SAFETY: By the caller's promise.
        let mode = unsafe { (*file).f_mode };
        Self {
            reads: mode & bindings::FMODE_READ != 0,
            writes: mode & bindings::FMODE_WRITE != 0,
        }
    }
}

impl Ends {
    fn add(&mut self, mode: Mode) {
        self.readers += u32::from(mode.reads);
        self.writers += u32::from(mode.writes);
    }

    fn remove(&mut self, mode: Mode) {
        self.readers -= u32::from(mode.reads);
        self.writers -= u32::from(mode.writes);
    }

    /// Whether one side is left without the other.
    fn is_one_sided(&self) -> bool {
        (self.readers == 0) != (self.writers == 0)
    }
}

/// Opens a notification pipe again, by way of `/proc/PID/fd`.
///
/// Returns 0, `-ENXIO` if it was closed in the meantime, or `-EINVAL` if it is to be opened for
/// nothing.
///
/// # Safety
///
/// For the VFS to call.
unsafe extern "C" fn open(inode: *mut bindings::inode, file: *mut bindings::file) -> c_int {
    from_result(|| {
        // SAFETY: The file is valid.
        let mode = unsafe { Mode::of(file) };
        if !mode.reads && !mode.writes {
            return Err(EINVAL);
        }
        // SAFETY: The inode is valid.
        let _locked = unsafe { lock_inode(inode) };
        // SAFETY: The inode is locked, and is that of a notification pipe.
        let private = unsafe { (*inode).i_private };
        if private.is_null() {
            return Err(ENXIO);
        }
        // SAFETY: The pointer owns a reference, and does as long as the inode is locked.
        let queue = unsafe { Borrowed::<'_>::from_raw(private.cast()) };
        queue.posts.with(|posts| {
            posts.ends.files += 1;
            posts.ends.add(mode);
        });
        // SAFETY: Both are valid.
        Ok(unsafe { bindings::stream_open(inode, file) })
    })
}

/// # Safety
///
/// For the VFS to call.
unsafe extern "C" fn release(inode: *mut bindings::inode, file: *mut bindings::file) -> c_int {
    // SAFETY: The file is only about to be closed.
    let (queue, mode) = unsafe { (queue_of(file), Mode::of(file)) };
    let is_one_sided = queue.posts.with(|posts| {
        posts.ends.remove(mode);
        posts.ends.is_one_sided()
    });
    if is_one_sided {
        queue.posts.wake_all();
        queue.room.wake_all();
        queue.readable.kill(bindings::POLL_IN);
        queue.writable.kill(bindings::POLL_OUT);
    }
    // SAFETY: The inode counted on this file.
    unsafe { watch_queue_put_inode(inode) };
    0
}

/// # Safety
///
/// For the VFS to call.
unsafe extern "C" fn read(
    file: *mut bindings::file,
    buffer: *mut c_char,
    room: usize,
    _position: *mut bindings::loff_t,
) -> isize {
    from_result(|| {
        // SAFETY: The file is open as long as it is read.
        let queue = unsafe { queue_of(file) };
        let to = UserBuffer::new(UserPtr::from_ptr(buffer.cast()), room);
        // SAFETY: As above.
        let may_wait = || unsafe { (*file).f_flags } & bindings::O_NONBLOCK == 0;
        let bytes = queue.read_or_wait(to, may_wait)?;
        Ok(bytes as isize)
    })
}

/// # Safety
///
/// For the VFS to call.
unsafe extern "C" fn read_iter(iocb: *mut bindings::kiocb, to: *mut bindings::iov_iter) -> isize {
    from_result(|| {
        // SAFETY: The file is open as long as it is read.
        let (file, queue) = unsafe { ((*iocb).ki_filp, queue_of((*iocb).ki_filp)) };
        // SAFETY: The `iocb` and its file are valid.
        let may_wait = || unsafe {
            (*iocb).ki_flags & bindings::IOCB_NOWAIT == 0
                && (*file).f_flags & bindings::O_NONBLOCK == 0
        };
        // SAFETY: This is a read, for which `to` is the destination.
        let to = unsafe { IovIterDest::from_raw(to) };
        let bytes = queue.read_or_wait(to, may_wait)?;
        Ok(bytes as isize)
    })
}

/// Only the kernel writes.
extern "C" fn write_iter(_iocb: *mut bindings::kiocb, _from: *mut bindings::iov_iter) -> isize {
    EXDEV.to_errno() as isize
}

/// # Safety
///
/// For the VFS to call.
unsafe extern "C" fn poll(
    file: *mut bindings::file,
    table: *mut bindings::poll_table,
) -> bindings::__poll_t {
    // SAFETY: The file is open as long as it is polled.
    let (queue, mode) = unsafe { (queue_of(file), Mode::of(file)) };
    // SAFETY: As above.
    let file = unsafe { File::from_raw_file(file) };
    // First ask to be told, then look, so that nothing is missed in between.
    //
    // SAFETY: `table` is null or valid, and the file keeps its queue.
    unsafe {
        if mode.reads {
            queue.posts.poll_wait(file, table);
        }
        if mode.writes {
            queue.room.poll_wait(file, table);
        }
    }

    let (ends, readable, writable) = queue.posts.with(|posts| {
        let poster = &posts.poster;
        // A queue without a size has as much room as it ever had to begin with.
        let writable = !poster.is_full() || poster.capacity() == 0;
        (posts.ends, poster.is_readable(), writable)
    });
    let mut events: Events = 0;
    let mut add = |present, event| {
        if present {
            events |= event;
        }
    };
    if mode.reads {
        add(readable, READABLE);
        add(ends.writers == 0, HANGUP);
    }
    if mode.writes {
        add(writable, WRITABLE);
        add(ends.readers == 0, ERROR);
    }
    events
}

/// # Safety
///
/// For the VFS to call.
unsafe extern "C" fn fasync(fd: c_int, file: *mut bindings::file, on: c_int) -> c_int {
    // SAFETY: The file is open.
    let (queue, mode) = unsafe { (queue_of(file), Mode::of(file)) };
    // Both lists change as one.
    let _reads = queue.reads.lock();
    let mut result = 0;
    if mode.reads {
        // SAFETY: The file is open, and the list is one.
        result = unsafe { bindings::fasync_helper(fd, file, on, queue.readable.0.get()) };
    }
    if mode.writes && result >= 0 {
        let added = result > 0;
        // SAFETY: As above.
        result = unsafe { bindings::fasync_helper(fd, file, on, queue.writable.0.get()) };
        if result < 0 && added {
            // SAFETY: As above.
            unsafe { bindings::fasync_helper(-1, file, 0, queue.readable.0.get()) };
        }
    }
    result
}

/// # Safety
///
/// For the VFS to call.
unsafe extern "C" fn ioctl(file: *mut bindings::file, cmd: c_uint, arg: c_ulong) -> c_long {
    from_result(|| {
        // SAFETY: The file is open.
        let queue = unsafe { queue_of(file) };
        match cmd {
            bindings::FIONREAD => {
                let bytes = queue.pending_bytes() as c_int;
                UserSlice::new(UserPtr::from_addr(arg), size_of::<c_int>())
                    .writer()
                    .write(&bytes)?;
            }
            SET_SIZE => queue.set_size(arg)?,
            SET_FILTER if arg == 0 => queue.set_filter(None),
            SET_FILTER => queue.set_filter(Some(read_filter(UserPtr::from_addr(arg))?)),
            _ if sources::ioctl(queue, cmd, arg)? => {}
            _ => return Err(ENOIOCTLCMD),
        }
        Ok(0)
    })
}

/// Reads a `struct watch_notification_filter` from userspace.
///
/// # Errors
///
/// `EFAULT` if it cannot be read, `EINVAL` if it is not valid, `ENOMEM`.
fn read_filter(from: UserPtr) -> Result<RcuBox<Filter>> {
    /// The words of a `struct watch_notification_type_filter`.
    type Words = [u32; 11];

    const HEADER: usize = size_of::<[u32; 2]>();
    let mut reader = UserSlice::new(from, HEADER + MAX_RULES * size_of::<Words>()).reader();
    let [nr_rules, reserved]: [u32; 2] = reader.read()?;
    if nr_rules == 0 || nr_rules as usize > MAX_RULES || reserved != 0 {
        return Err(EINVAL);
    }

    let mut rules = [Rule::default(); MAX_RULES];
    let rules = &mut rules[..nr_rules as usize];
    for rule in rules.iter_mut() {
        let [kind, info_filter, info_mask, subtypes @ ..]: Words = reader.read()?;
        *rule = Rule {
            kind,
            info_filter,
            info_mask,
            subtypes,
        };
    }
    if !rules.iter().all(Rule::is_valid) {
        return Err(EINVAL);
    }

    let mut filter = RcuBox::<Filter>::zeroed(kernel::alloc::flags::GFP_KERNEL_ACCOUNT)?;
    for rule in rules.iter() {
        filter.get_mut().add(rule);
    }
    Ok(filter)
}

// SAFETY: A filter is made of integers, and zeroes are `Filter::EMPTY`.
unsafe impl Zeroable for Filter {}
