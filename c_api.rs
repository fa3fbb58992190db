// SPDX-License-Identifier: GPL-2.0

//! The interface for C: raw pointers become types here, and nothing else happens.
//!
//! The hooks of the sources are in `sources/`: each is for one caller, and about its structures.
//!
//! C header: [`include/linux/watch_queue.h`](srctree/include/linux/watch_queue.h)

use kernel::{
    bindings, cred::Credential, error::from_result, fs::LocalFile, prelude::*, sync::Arc,
};

use crate::{
    pipe_ext::{self, Descriptor},
    queue::{Borrowed, Mode, Queue},
    watch::{self, Outgoing, Pending, Walk, WatchList},
};

/// Makes a new inode of pipefs that of a notification pipe, with a queue that counts two files.
///
/// Returns 0 or `-ENOMEM`.
///
/// Context: Process context.
///
/// # Safety
///
/// `inode` is valid and has its number, and is not shared yet.
#[export]
pub(crate) unsafe extern "C" fn watch_queue_init_inode(inode: *mut bindings::inode) -> c_int {
    // SAFETY: `create_pipe_files()` has just made the inode.
    from_result(|| unsafe { pipe_ext::init_inode(inode) }.map(|()| 0))
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
    // SAFETY: `create_pipe_files()` calls this for a file that it could not make.
    unsafe { pipe_ext::put_inode(inode, Mode::UNOPENED) };
}

/// Answers `pipe_fcntl()` for a notification pipe.
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
    // SAFETY: `fcntl()` keeps the file open, and does not use its position.
    let file = unsafe { LocalFile::from_raw_file(file) };
    from_result(|| pipe_ext::fcntl(file, cmd).map(|bytes| bytes as c_long))
}

/// Takes a reference to the queue behind a file descriptor of the current task.
///
/// Returns it, or as an error pointer `-EINVAL` if the file descriptor is not that of a
/// notification pipe, and `-EPERM` if the queue is sealed and this is its read end.
///
/// Context: Process context.
///
/// # Safety
///
/// None.  Exported functions are `unsafe` all the same.
#[export]
pub(crate) unsafe extern "C" fn get_watch_queue(fd: c_int) -> *mut bindings::watch_queue {
    let descriptor = Descriptor::new(fd);
    match descriptor
        .file()
        .ok_or(EINVAL)
        .and_then(pipe_ext::queue_to_attach)
    {
        Ok(queue) => Arc::into_raw(Arc::from(queue)).cast_mut().cast(),
        Err(error) => error.to_ptr(),
    }
}

/// Drops a reference to a queue.
///
/// Context: Where a `spinlock_t` may be taken.
///
/// # Safety
///
/// The caller owns the reference, which it got from [`get_watch_queue`].
#[export]
pub(crate) unsafe extern "C" fn put_watch_queue(wqueue: *mut bindings::watch_queue) {
    // SAFETY: `get_watch_queue()` made the pointer with `Arc::into_raw()`, and the reference is the
    // caller's to drop.
    Queue::put(unsafe { Arc::from_raw(wqueue.cast()) });
}

/// Initialises a watch.
///
/// @watch: The watch, see &struct watch.
/// @wqueue: The queue that is to watch, to which the caller has a reference.
///
/// # Safety
///
/// `watch` is valid for writes.
#[export]
pub(crate) unsafe extern "C" fn init_watch(
    watch: *mut bindings::watch,
    wqueue: *mut bindings::watch_queue,
) {
    // SAFETY: The source has just allocated the watch.
    unsafe { Pending::init(watch, wqueue.cast()) };
}

/// Attaches a watch to an object, on behalf of the current task.
///
/// Returns 0 and owns `watch` from then on, or changes nothing and returns `-EBUSY` if the queue
/// watches that object already, `-EAGAIN` if the task's user has as many watches as
/// `RLIMIT_NOFILE`, or `max_watch_queue_watches` of a user namespace, allows, `-ENOENT` if the
/// queue has been closed.
///
/// Context: Process context, as it is about the current task; locks may be held.
///
/// # Safety
///
/// `watch` is as [`init_watch`] and `struct watch` in the header demand, the caller has a reference
/// to its queue, and `wlist` is initialised and not being freed.
#[export]
pub(crate) unsafe extern "C" fn add_watch_to_object(
    watch: *mut bindings::watch,
    wlist: *mut bindings::watch_list,
) -> c_int {
    // SAFETY: `init_watch()` initialised the watch, for a queue that the caller has a reference to.
    let watch = unsafe { Pending::from_raw(watch) };
    // SAFETY: The caller keeps the list.
    let list = unsafe { WatchList::from_raw(wlist) };
    from_result(|| watch::attach(watch, list).map(|()| 0))
}

/// Removes watches.  Each watcher gets a removal notification.  If its queue is full, that is lost
/// as any message is.
///
/// `wq` and `id` say which watch; if `wq` is null, it is all those on the object `id`, and with
/// `all`, all on the list.  In any case `id` is what the notification names as the object; it is
/// left out if it is 0.
///
/// Returns 0, or `-EBADSLT` if there was no such watch.
///
/// Context: As `release_watch` of the list demands; otherwise where a `spinlock_t` may be taken.
///
/// # Safety
///
/// `wlist` is initialised, and the caller has a reference to `wq`, unless that is null or `all` is
/// set.  Watches that are added at the same time may stay: before the list is freed, the caller has
/// to end that.
#[export]
pub(crate) unsafe extern "C" fn remove_watch_from_object(
    wlist: *mut bindings::watch_list,
    wq: *mut bindings::watch_queue,
    id: u64,
    all: bool,
) -> c_int {
    // SAFETY: The caller keeps the list.
    let list = unsafe { WatchList::from_raw(wlist) };
    let removed = if all || wq.is_null() {
        watch::remove_all(list, id, all)
    } else {
        // SAFETY: The caller has a reference to the queue, which it got from `get_watch_queue()`.
        let queue = unsafe { Borrowed::<'_>::from_raw(wq.cast()) };
        watch::remove(list, &queue, id)
    };
    if removed {
        0
    } else {
        EBADSLT.to_errno()
    }
}

/// Posts a message about the object of a watch to its queue, and to those behind it on its list
/// that watch the same.
///
/// For `post_watch_notification()`, where the rules are, and which takes the first look, so that a
/// post that nobody watches calls nothing.
///
/// # Safety
///
/// The caller is in an RCU read-side critical section in which it found `watch` on a list, `n` is a
/// message as long as it says, and `cred` is valid.
#[export]
pub(crate) unsafe extern "C" fn __post_watch_notification(
    watch: *mut bindings::watch,
    cred: *const bindings::cred,
    n: *mut bindings::watch_notification,
) {
    // SAFETY: The source has made the message, and does not use it meanwhile.
    let Some(message) = (unsafe { Outgoing::from_raw(n) }) else {
        kernel::warn_on!(true);
        return;
    };
    // SAFETY: `post_watch_notification()` found the watch in the section in which it calls this.
    let at = unsafe { Walk::from_raw(watch) };
    // SAFETY: The source has a reference to the credentials, or they are the current task's.
    let cause = unsafe { Credential::from_ptr(cred) };
    watch::post_from(at, cause, message);
}
