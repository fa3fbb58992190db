// SPDX-License-Identifier: GPL-2.0

//! Notification pipes: pipes to userspace, a file type of their own to the kernel.
//!
//! `create_pipe_files()` makes the inode and two files of a notification pipe as it makes those of
//! any pipe, but they have the file operations below.  What `pipe(7)` says of pipes holds for them,
//! except that they cannot be written to.
//!
//! The inode's `i_private` owns a reference to the [`Queue`] as long as there are files.  It is
//! guarded by `i_lock`.
//!
//! C header: [`include/linux/pipe_fs_i.h`](srctree/include/linux/pipe_fs_i.h)

use core::{marker::PhantomData, ptr};
use kernel::{
    bindings,
    error::from_result,
    fs::{file::flags::O_NONBLOCK, LocalFile},
    iov::IovIterDest,
    page::PAGE_SIZE,
    prelude::*,
    seq_file::SeqFile,
    sync::{
        lock::{spinlock::SpinLockBackend, Guard, Lock},
        Arc,
    },
    types::NotThreadSafe,
    uaccess::UserPtr,
};

mod destination;
mod fdinfo;
mod ioctl;

use self::destination::UserBuffer;
use crate::{
    queue::{Borrowed, Left, Mode, Queue},
    sync::wait::PollTable,
};

/// The file operations of notification pipes.
#[repr(transparent)]
struct FileOperations(bindings::file_operations);

// SAFETY: It is a table of functions that never changes.
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
    show_fdinfo: Some(show_fdinfo),
    ..pin_init::zeroed()
});

/// An open file of a notification pipe.
///
/// # Invariants
///
/// The file has [`FILE_OPERATIONS`].  It is one of those that its inode counts, which owns a queue
/// as long as it counts any.
#[derive(Clone, Copy)]
struct PipeFile<'a>(&'a LocalFile);

impl<'a> PipeFile<'a> {
    /// Takes what the VFS gives to one of the [`FILE_OPERATIONS`].
    ///
    /// # Safety
    ///
    /// `file` has these file operations, and is open for `'a`.
    #[inline(always)]
    unsafe fn from_raw(file: *mut bindings::file) -> Self {
        // INVARIANT: A file gets these operations by `watch_queue_init_inode()`, which counts it,
        // or by `open()`, which does the same.
        // SAFETY: The caller keeps the file open.  Nobody uses its `f_pos`, as it is a stream.
        Self(unsafe { LocalFile::from_raw_file(file) })
    }

    /// Returns the file if it is a notification pipe.
    fn new(file: &'a LocalFile) -> Option<Self> {
        // SAFETY: The file is valid, and its operations do not change as long as it is open.
        let operations = unsafe { (*file.as_ptr()).f_op };
        // INVARIANT: These are the operations.  As for the count, see `from_raw()`.
        ptr::eq(operations, &FILE_OPERATIONS.0).then_some(Self(file))
    }

    #[inline(always)]
    fn queue(self) -> Borrowed<'a> {
        // SAFETY: A file has an inode, and the file is open.
        let private = unsafe { (*(*self.0.as_ptr()).f_inode).i_private };
        // SAFETY: By the invariants the inode owns a queue as long as the file is open.  The
        // pointer came out of `Arc::into_raw()` in `init_inode()`.
        unsafe { Borrowed::from_raw(private.cast()) }
    }

    #[inline(always)]
    fn mode(self) -> Mode {
        // SAFETY: The file is valid.
        unsafe { mode_of(self.0.as_ptr()) }
    }

    #[inline(always)]
    fn may_wait(self) -> bool {
        self.0.flags() & O_NONBLOCK == 0
    }
}

/// A file descriptor of the current task that has been looked up, as by `CLASS(fd)` in C.
pub(crate) struct Descriptor(bindings::fd, NotThreadSafe);

impl Descriptor {
    /// Looks a file descriptor up.  There is no reference to the file if nobody else can close it.
    #[inline(always)]
    pub(crate) fn new(fd: c_int) -> Self {
        // SAFETY: There are no requirements.  What is no file descriptor is beyond any table.
        Self(unsafe { bindings::fdget(fd as c_uint) }, NotThreadSafe)
    }

    #[inline(always)]
    fn raw_file(&self) -> *mut bindings::file {
        let flags = (bindings::FDPUT_FPUT | bindings::FDPUT_POS_UNLOCK) as usize;
        ptr::with_exposed_provenance_mut(self.0.word & !flags)
    }

    /// Returns the file, if there is one.
    #[inline(always)]
    pub(crate) fn file(&self) -> Option<&LocalFile> {
        let file = self.raw_file();
        // SAFETY: `fdget()` keeps the file open until `fdput()`: this task alone could close it
        // earlier, which nothing does that borrows this.
        (!file.is_null()).then(|| unsafe { LocalFile::from_raw_file(file) })
    }
}

impl Drop for Descriptor {
    #[inline(always)]
    fn drop(&mut self) {
        if self.0.word as u32 & bindings::FDPUT_FPUT != 0 {
            // SAFETY: `fdget()` has taken a reference.
            unsafe { bindings::fput(self.raw_file()) };
        }
    }
}

/// Returns the queue of an open file through which it may be attached to something.
///
/// # Errors
///
/// - `EINVAL` if the file is not a notification pipe
/// - `EPERM` if the queue is sealed, and the file not open for writing
pub(crate) fn queue_to_attach(file: &LocalFile) -> Result<Borrowed<'_>> {
    let file = PipeFile::new(file).ok_or(EINVAL)?;
    file.queue().permit(file.mode())?;
    Ok(file.queue())
}

/// Returns the queue of an open file, if the file is a notification pipe.
fn queue_of(file: &LocalFile) -> Option<Borrowed<'_>> {
    PipeFile::new(file).map(PipeFile::queue)
}

/// A locked inode of a notification pipe.
///
/// # Invariants
///
/// `i_private` of the inode, which is valid for `'a`, is null or owns a reference to a [`Queue`].
struct LockedInode<'a> {
    inode: *mut bindings::inode,
    _guard: Guard<'a, (), SpinLockBackend>,
    _inode: PhantomData<&'a bindings::inode>,
}

impl LockedInode<'_> {
    /// # Safety
    ///
    /// `inode` is that of a notification pipe, and valid for the lifetime of the result.
    unsafe fn new(inode: *mut bindings::inode) -> Self {
        // SAFETY: The caller keeps the inode valid, and every inode has an initialised lock.
        let lock = unsafe { Lock::from_raw(&raw mut (*inode).i_lock) };
        // INVARIANT: `init_inode()` stored a reference, and `take_queue()` takes it out.
        Self {
            inode,
            _guard: lock.lock(),
            _inode: PhantomData,
        }
    }

    /// Returns the queue, unless the last file has been closed.
    fn queue(&self) -> Option<Borrowed<'_>> {
        // SAFETY: The inode is valid by the invariants, and locked.
        let private = unsafe { (*self.inode).i_private };
        // SAFETY: By the invariants the pointer owns a reference, which nobody takes out as long as
        // the inode is locked.
        (!private.is_null()).then(|| unsafe { Borrowed::from_raw(private.cast()) })
    }

    /// Takes the inode's reference to its queue, if it has one.
    fn take_queue(&mut self) -> Option<Arc<Queue>> {
        // SAFETY: The inode is valid by the invariants, and locked.
        let private = unsafe { &mut (*self.inode).i_private };
        let private = core::mem::replace(private, ptr::null_mut());
        // SAFETY: By the invariants the pointer owned a reference, which is the caller's from here.
        (!private.is_null()).then(|| unsafe { Arc::from_raw(private.cast()) })
    }
}

/// Makes a new inode of pipefs that of a notification pipe, with a queue that counts two files.
///
/// # Safety
///
/// `inode` is valid and has its number, and is not shared yet.
pub(crate) unsafe fn init_inode(inode: *mut bindings::inode) -> Result {
    // SAFETY: The caller has a valid inode with a number.
    let queue = Queue::new(unsafe { (*inode).i_ino })?;
    // SAFETY: The inode is not shared yet, so these are not read at the same time.
    let (private, operations) = unsafe {
        (
            &mut (*inode).i_private,
            &mut (*inode).__bindgen_anon_3.i_fop,
        )
    };
    *private = Arc::into_raw(queue).cast_mut().cast();
    *operations = &FILE_OPERATIONS.0;
    Ok(())
}

/// Drops what the inode of a notification pipe holds for one file, which was open in `mode`.
///
/// # Safety
///
/// `inode` is one of [`init_inode`].  This is called once for each of its files.
pub(crate) unsafe fn put_inode(inode: *mut bindings::inode, mode: Mode) {
    // SAFETY: The caller has a file of the inode, which keeps it valid.
    let mut locked = unsafe { LockedInode::new(inode) };
    let Some(left) = locked.queue().map(|queue| queue.drop_file(mode)) else {
        return;
    };
    match left {
        Left::Nothing => (),
        Left::Wake => {
            // Once the inode is unlocked, the last file may be closed and drop the inode's
            // reference.  So this takes one of its own.
            let queue = locked.queue().map(Arc::from);
            drop(locked);
            if let Some(queue) = queue {
                queue.wake_all();
                Queue::put(queue);
            }
        }
        Left::Close => {
            let queue = locked.take_queue();
            drop(locked);
            if let Some(queue) = queue {
                queue.close();
                Queue::put(queue);
            }
        }
    }
}

/// Answers `F_GETPIPE_SZ` and `F_SETPIPE_SZ`.
///
/// # Errors
///
/// - `EBADF` if the file is not a notification pipe
/// - `EBUSY` for `F_SETPIPE_SZ`
/// - `EINVAL` for anything else
pub(crate) fn fcntl(file: &LocalFile, cmd: u32) -> Result<usize> {
    let queue = queue_of(file).ok_or(EBADF)?;
    match cmd {
        bindings::F_GETPIPE_SZ => {
            // Before it has a size, userspace sees that of a new pipe.
            let pages = queue.pages().unwrap_or(bindings::PIPE_DEF_BUFFERS as usize);
            Ok(pages * PAGE_SIZE)
        }
        bindings::F_SETPIPE_SZ => Err(EBUSY),
        _ => Err(EINVAL),
    }
}

/// Returns how a file is open, which does not change.
///
/// # Safety
///
/// The file is valid.
#[inline(always)]
unsafe fn mode_of(file: *mut bindings::file) -> Mode {
    // SAFETY: The caller has a valid file.
    let mode = unsafe { (*file).f_mode };
    Mode {
        reads: mode & bindings::FMODE_READ != 0,
        writes: mode & bindings::FMODE_WRITE != 0,
    }
}

/// Opens a notification pipe again, by way of `/proc/PID/fd`.
///
/// Returns 0, `-ENXIO` if it was closed in the meantime, `-EINVAL` if it is to be opened for
/// neither reading nor writing, or `-EPERM` if it is to be opened for writing and sealed.
///
/// # Safety
///
/// For the VFS to call.
unsafe extern "C" fn open(inode: *mut bindings::inode, file: *mut bindings::file) -> c_int {
    from_result(|| {
        // SAFETY: The VFS opens a file.
        let mode = unsafe { mode_of(file) };
        if !mode.reads && !mode.writes {
            return Err(EINVAL);
        }
        // SAFETY: The file that is being opened has a reference to the inode.
        let locked = unsafe { LockedInode::new(inode) };
        let queue = locked.queue().ok_or(ENXIO)?;
        queue.permit_open(mode)?;
        queue.open_end(mode);
        // SAFETY: The VFS gives a valid inode and file.
        Ok(unsafe { bindings::stream_open(inode, file) })
    })
}

/// # Safety
///
/// For the VFS to call.
unsafe extern "C" fn release(inode: *mut bindings::inode, file: *mut bindings::file) -> c_int {
    // SAFETY: The VFS has a file with these operations, which the inode still counts.
    let file = unsafe { PipeFile::from_raw(file) };
    // SAFETY: The VFS calls this once for each file.
    unsafe { put_inode(inode, file.mode()) };
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
    // SAFETY: The VFS keeps the file, which has these operations, open.
    let file = unsafe { PipeFile::from_raw(file) };
    let to = UserBuffer::new(UserPtr::from_ptr(buffer.cast()), room);
    file.queue().read(to, || file.may_wait(), false)
}

/// # Safety
///
/// For the VFS to call.
unsafe extern "C" fn read_iter(iocb: *mut bindings::kiocb, to: *mut bindings::iov_iter) -> isize {
    // SAFETY: The VFS gives a valid `iocb`.
    let (file, flags) = unsafe { ((*iocb).ki_filp, (*iocb).ki_flags) };
    // SAFETY: The VFS keeps the file, which has these operations, open.
    let file = unsafe { PipeFile::from_raw(file) };
    // SAFETY: This is a read, for which the VFS gives a valid destination.
    let to = unsafe { IovIterDest::from_raw(to) };
    let is_nowait = flags & bindings::IOCB_NOWAIT != 0;
    let may_wait = || !is_nowait && file.may_wait();
    file.queue().read(to, may_wait, is_nowait)
}

/// Refuses: only the kernel writes.
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
    // SAFETY: The VFS keeps the file, which has these operations, open.
    let file = unsafe { PipeFile::from_raw(file) };
    // SAFETY: The VFS gives a table that is null or valid.
    let table = unsafe { PollTable::from_raw(file.0, table) };
    // SAFETY: The queue is the file's, which has it until it is released.
    unsafe { file.queue().poll(&table, file.mode()) }
}

/// # Safety
///
/// For the VFS to call.
unsafe extern "C" fn fasync(fd: c_int, file: *mut bindings::file, on: c_int) -> c_int {
    from_result(|| {
        // SAFETY: The VFS keeps the file, which has these operations, open.
        let file = unsafe { PipeFile::from_raw(file) };
        let changed = file.queue().set_fasync(fd, file.0, on != 0, file.mode())?;
        Ok(c_int::from(changed))
    })
}

/// # Safety
///
/// For the VFS to call.
unsafe extern "C" fn ioctl(file: *mut bindings::file, cmd: c_uint, arg: c_ulong) -> c_long {
    from_result(|| {
        // SAFETY: The VFS keeps the file, which has these operations, open.
        let file = unsafe { PipeFile::from_raw(file) };
        ioctl::ioctl(file.queue(), file.mode(), cmd, arg)?;
        Ok(0)
    })
}

/// # Safety
///
/// For the VFS to call.
unsafe extern "C" fn show_fdinfo(m: *mut bindings::seq_file, file: *mut bindings::file) {
    // SAFETY: The VFS keeps the file, which has these operations, open.
    let file = unsafe { PipeFile::from_raw(file) };
    // SAFETY: The VFS gives a valid `m`, which only this task uses.
    let m = unsafe { SeqFile::from_raw(m) };
    fdinfo::show(m, &file.queue());
}
