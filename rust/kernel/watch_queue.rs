// SPDX-License-Identifier: GPL-2.0

//! Sources of notifications.
//!
//! A source reports events of its objects to userspace.  It keeps a [`WatchList`] in each object
//! that can be watched, attaches notification pipes to the list on request of userspace, and posts
//! a [`Notification`] for each event.  Each pipe that watches the object gets a copy.
//!
//! C header: [`include/linux/watch_queue.h`](srctree/include/linux/watch_queue.h)
//!
//! Reference: <https://docs.kernel.org/core-api/watch_queue.html>
//!
//! # Examples
//!
//! ```
//! use core::mem::offset_of;
//! use kernel::{
//!     new_watch_list,
//!     watch_queue::{
//!         Cause,
//!         Header,
//!         Notification,
//!         WatchList, //
//!     }, //
//! };
//!
//! /// The events of a door.
//! enum DoorEvent {
//!     Opened = 0,
//!     Closed = 1,
//! }
//!
//! impl From<DoorEvent> for u8 {
//!     fn from(event: DoorEvent) -> u8 {
//!         event as u8
//!     }
//! }
//!
//! /// The message that userspace reads.
//! #[repr(C)]
//! #[derive(IntoBytes)]
//! struct DoorNotification {
//!     header: Header<Self>,
//!     times_opened: u64,
//! }
//!
//! impl Notification for DoorNotification {
//!     const TYPE: u32 = 0xffff02;
//!     type Subtype = DoorEvent;
//!     const HEADER: usize = offset_of!(Self, header);
//! }
//!
//! /// An object that can be watched.
//! #[pin_data]
//! struct Door {
//!     number: u64,
//!     #[pin]
//!     watches: WatchList,
//! }
//!
//! let door = KBox::pin_init(
//!     pin_init!(Door {
//!         number: 12,
//!         watches <- new_watch_list!(),
//!     }),
//!     GFP_KERNEL,
//! )?;
//!
//! // Userspace asked to watch the door, but the descriptor is not that of a notification pipe.
//! assert_eq!(door.watches.add_watch(-1, door.number, 7), Err(EINVAL));
//!
//! // Nobody watches, so this returns at once.
//! door.watches.post_notification(
//!     door.number,
//!     Cause::CurrentTask,
//!     DoorNotification {
//!         header: Header::new(DoorEvent::Opened),
//!         times_opened: 1,
//!     },
//! );
//!
//! // The watchers, if there are any, get a removal notification.
//! drop(door);
//! # let _ = DoorEvent::Closed;
//! # Ok::<(), Error>(())
//! ```

use crate::{
    bindings,
    cred::Credential,
    error::{
        from_err_ptr,
        to_result, //
    },
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        LockClassKey, //
    },
    types::Opaque, //
};
use core::{
    marker::PhantomData,
    mem::needs_drop,
    ops::RangeInclusive,
    ptr::NonNull, //
};
use pin_init::init_zeroed;

/// The sizes that a message can have, in bytes.
pub const MESSAGE_SIZES: RangeInclusive<usize> =
    size_of::<bindings::watch_notification>()..=bindings::WATCH_INFO_LENGTH as usize;

/// The header of a message: `struct watch_notification`.
///
/// `M` is the message.
#[repr(transparent)]
#[derive(FromBytes, IntoBytes)]
pub struct Header<M> {
    /// Type and subtype; size, tag and type-specific bits.
    words: [u32; 2],
    message: PhantomData<M>,
}

impl<M: Notification> Header<M> {
    /// Makes the header of a message about an event of the kind `subtype`.
    #[inline]
    pub fn new(subtype: M::Subtype) -> Self {
        const_assert!(
            M::TYPE < 1 << 24,
            "the type of a notification is below 2^24"
        );
        const_assert!(
            M::TYPE != bindings::watch_notification_type_WATCH_TYPE_META,
            "type 0 is for the queue's own messages"
        );
        let subtype = u32::from(subtype.into());
        // C has two bit-fields here.
        let word = if cfg!(target_endian = "little") {
            M::TYPE | subtype << 24
        } else {
            M::TYPE << 8 | subtype
        };
        Self {
            words: [word, 0],
            message: PhantomData,
        }
    }

    /// Sets the 16 bits of the header whose meaning depends on the type of the message,
    /// `WATCH_INFO_TYPE_INFO`.  Filters can select on them.
    #[inline]
    pub fn with_type_info(mut self, bits: u16) -> Self {
        self.words[1] = u32::from(bits) << bindings::WATCH_INFO_TYPE_INFO__SHIFT;
        self
    }
}

/// A message, byte for byte as userspace reads it.
///
/// Its layout is part of the interface with userspace, so it is a `#[repr(C)]` structure.
/// [`IntoBytes`] rules out padding, which would leak memory of the kernel.  A message is 8 to 127
/// bytes long and begins with its header:
///
/// ```
/// use core::mem::offset_of;
/// use kernel::watch_queue::{
///     Header,
///     Notification, //
/// };
///
/// #[repr(C)]
/// #[derive(IntoBytes)]
/// struct Measured {
///     header: Header<Self>,
///     millikelvin: u32,
///     sensor: u32,
/// }
///
/// impl Notification for Measured {
///     const TYPE: u32 = 0xffff03;
///     type Subtype = u8;
///     const HEADER: usize = offset_of!(Self, header);
/// }
/// ```
///
/// All of that is checked at compile time: padding where a message is declared, the rest where it
/// is made or posted.  The check of the header relies on [`HEADER`](Self::HEADER).  If that is not
/// the offset of the header, the first 8 bytes are overwritten, and userspace reads a wrong
/// message.
pub trait Notification: IntoBytes + Sized {
    /// The type of the message, 1 to 2^24 - 1, which identifies its source: a `WATCH_TYPE_*` of
    /// [`include/uapi/linux/watch_queue.h`](srctree/include/uapi/linux/watch_queue.h).
    const TYPE: u32;

    /// The events of the source, one of which a message reports: an enum, or just [`u8`].
    type Subtype: Into<u8>;

    /// The offset of the header in the message by [`offset_of!`], which has to be 0.
    ///
    /// [`offset_of!`]: core::mem::offset_of
    const HEADER: usize;
}

/// The cause of an event, by which security modules decide which watchers may receive it.
#[derive(Clone, Copy)]
pub enum Cause<'a> {
    /// The current task.  Not for interrupt handlers, which interrupt any task.
    CurrentTask,
    /// The task with these credentials, such as the one that opened the device.
    Credential(&'a Credential),
}

impl Cause<'_> {
    /// Returns a raw pointer to the credentials.
    ///
    /// They are valid as long as the cause is.  Those of the current task are valid until it
    /// changes them.
    #[inline]
    pub fn as_ptr(self) -> *const bindings::cred {
        match self {
            // SAFETY: There always is a current task.
            Cause::CurrentTask => unsafe { bindings::current_cred() },
            Cause::Credential(cred) => cred.as_ptr(),
        }
    }
}

/// Bytes, aligned as a message is.
#[repr(C, align(4))]
struct Aligned<M>(M);

/// The watches on an object, or on several objects that are told apart by their ids.
///
/// Dropping a list removes its watches.  Each watcher gets a removal notification without an id;
/// for one with an id, call [`remove_all`](Self::remove_all) first.  If only one of several objects
/// goes away, call [`remove_object`](Self::remove_object).
///
/// See the [module](self) for an example.
///
/// # Context
///
/// Posting can be done in any context except NMI.  Where a `spinlock_t` may not be taken, or with
/// interrupts or preemption off, readers are woken soon after, by `irq_work`.
///
/// Removing watches and dropping a list take a `spinlock_t`, and can be done where that is allowed.
///
/// # Invariants
///
/// The list is initialised.  All uses of it borrow it, except for those of the queues that watch:
/// these end when the watches are removed.
#[pin_data(PinnedDrop)]
pub struct WatchList {
    #[pin]
    inner: Opaque<bindings::watch_list>,
}

// SAFETY: Neither the list nor the watches on it are bound to a thread.
unsafe impl Send for WatchList {}
// SAFETY: The list is walked under RCU, and changed with its lock held.
unsafe impl Sync for WatchList {}

/// Creates an initialiser for a [`WatchList`] of the current module, with a lock class of its own.
// `crate` is that of the caller, whose module the list belongs to.
#[allow(clippy::crate_in_macro_def)]
#[macro_export]
macro_rules! new_watch_list {
    () => {
        $crate::watch_queue::WatchList::new(
            <crate::LocalModule as $crate::ModuleMetadata>::NAME,
            $crate::static_lock_class!(),
        )
    };
}
pub use new_watch_list;

impl WatchList {
    /// Creates an initialiser for a list without watches.
    ///
    /// Watchers see `source`, the name of the module, in their fdinfo.  Usually
    /// [`new_watch_list!`] is what to use.
    pub fn new(source: &'static CStr, key: Pin<&'static LockClassKey>) -> impl PinInit<Self> {
        pin_init!(Self {
            inner <- Opaque::ffi_init(move |list: *mut bindings::watch_list| {
                // INVARIANT: This initialises the list, as `init_watch_list()` does.
                // SAFETY: The list is valid for writes; what it and its lock are called, and the
                // class of the lock, are static.
                unsafe {
                    list.write(bindings::watch_list::default());
                    (*list).source = source.as_char_ptr();
                    bindings::raw_spin_lock_init(
                        &raw mut (*list).lock,
                        c"WatchList".as_char_ptr(),
                        key.as_ptr(),
                    );
                }
            }),
        })
    }

    /// Attaches the queue that is behind a file descriptor of the current task.
    ///
    /// From then on the queue gets each message that is posted for the object `id`, with `tag` in
    /// the header, by which userspace knows the watch.  The watch counts for the user of the
    /// current task, and security modules decide by the credentials of the task which messages it
    /// may receive.
    ///
    /// This checks no permissions: the caller decides whether the task may watch the object.
    ///
    /// Context: Process context.  May sleep.
    ///
    /// # Errors
    ///
    /// - `EINVAL` if `fd` is not an open notification pipe
    /// - `EBUSY` if its queue watches that object already
    /// - `EPERM` if the queue is sealed and `fd` is its read end
    /// - `EAGAIN` if the user has as many watches as `RLIMIT_NOFILE`, or
    ///   `max_watch_queue_watches` of a user namespace, allows
    /// - `ENOENT` if the queue is being closed
    /// - `ENOMEM`
    pub fn add_watch(&self, fd: i32, id: u64, tag: u8) -> Result {
        let queue = QueueRef::from_fd(fd)?;
        let watch = KBox::into_raw(KBox::init(
            init_zeroed::<bindings::watch>(),
            GFP_KERNEL_ACCOUNT,
        )?);
        // SAFETY: The watch has just been allocated with `kmalloc()`, and `queue` is a reference.
        unsafe { bindings::init_watch(watch, queue.as_ptr()) };
        // SAFETY: The watch is ours.
        let (id_of, info_id_of) = unsafe { (&raw mut (*watch).id, &raw mut (*watch).info_id) };
        // SAFETY: As above.
        unsafe { id_of.write(id) };
        // SAFETY: As above.
        unsafe { info_id_of.write(u32::from(tag) << bindings::WATCH_INFO_ID__SHIFT) };
        // SAFETY: The watch is initialised, and `queue` is still a reference.  The list is
        // initialised by the invariants, and is not dropped as long as it is borrowed.
        let result = to_result(unsafe { bindings::add_watch_to_object(watch, self.inner.get()) });
        if result.is_err() {
            // SAFETY: It was not attached, so it still belongs to us.
            drop(unsafe { KBox::from_raw(watch) });
        }
        result
    }

    /// Detaches the queue that is behind a file descriptor of the current task from the object
    /// `id`.  The queue gets a removal notification, which is lost like any message if the queue is
    /// full.  A message that is posted at the same time may come after it.
    ///
    /// Context: Process context.
    ///
    /// # Errors
    ///
    /// - `EINVAL` if `fd` is not an open notification pipe
    /// - `EPERM` if the queue is sealed and `fd` is its read end
    /// - `EBADSLT` if its queue does not watch that object
    pub fn remove_watch(&self, fd: i32, id: u64) -> Result {
        let queue = QueueRef::from_fd(fd)?;
        // SAFETY: The list is initialised by the invariants, and `queue` is a reference.
        to_result(unsafe {
            bindings::remove_watch_from_object(self.inner.get(), queue.as_ptr(), id, false)
        })
    }

    /// Detaches all queues from the object `id`, and from no other object.  Each gets a removal
    /// notification, as with [`remove_watch`](Self::remove_watch).
    ///
    /// If queues are attached at the same time, they may or may not be detached.
    ///
    /// For the context, see [`WatchList`].
    pub fn remove_object(&self, id: u64) {
        self.remove(id, false);
    }

    /// Detaches all queues from all objects.  Each gets a removal notification with this `id`, or a
    /// shorter one without an id if that is 0, as with [`remove_watch`](Self::remove_watch).
    ///
    /// If queues are attached at the same time, they may or may not be detached.
    ///
    /// For the context, see [`WatchList`].
    pub fn remove_all(&self, id: u64) {
        self.remove(id, true);
    }

    fn remove(&self, id: u64, all: bool) {
        // Without a watch this returns an error, which is none here.
        //
        // SAFETY: The list is initialised by the invariants.  Null stands for all queues.  A watch
        // that is added meanwhile may stay on it; the list is not freed before `drop()`, when none
        // can be added.
        unsafe {
            bindings::remove_watch_from_object(self.inner.get(), core::ptr::null_mut(), id, all)
        };
    }

    /// Returns whether any object of the list is watched.
    ///
    /// Posting begins with the same check.  It is for callers whose messages are costly to make.
    #[inline]
    pub fn is_watched(&self) -> bool {
        // SAFETY: The list is initialised by the invariants.  Writers use `rcu_assign_pointer()`.
        let first = unsafe { Atomic::from_ptr(&raw mut (*self.inner.get()).watchers.first) };
        !first.load(Relaxed).is_null()
    }

    /// Posts a message to all queues that watch the object `id`.
    ///
    /// Sets the bits of its header that hold its size and the tag of each watch.  Never allocates
    /// and never sleeps.  A queue without room for the message counts it as lost.  If nobody
    /// watches, this is a load and a branch.
    ///
    /// For the context, see [`WatchList`].
    #[inline]
    pub fn post_notification<M: Notification>(&self, id: u64, cause: Cause<'_>, message: M) {
        const_assert!(M::HEADER == 0, "a notification begins with its header");
        const_assert!(
            size_of::<M>() >= *MESSAGE_SIZES.start() && size_of::<M>() <= *MESSAGE_SIZES.end(),
            "a notification is 8 to 127 bytes long"
        );
        const_assert!(
            !needs_drop::<M>(),
            "a notification is bytes, with nothing to be dropped"
        );
        if self.is_watched() {
            let mut message = Aligned(message);
            // SAFETY: `M` is `IntoBytes`, so all its bytes are initialised, and it has 8 to 127 of
            // them, as has been checked.  The overwritten bytes are not used as an `M` any more, as
            // `M` needs no drop.
            unsafe { self.post(id, cause, (&raw mut message).cast(), size_of::<M>()) };
        }
    }

    /// Posts a message that is given as bytes, as [`post_notification`] does.
    ///
    /// It begins with a `struct watch_notification`, in which this sets the bits for the size and
    /// the tag.
    ///
    /// # Errors
    ///
    /// `EINVAL` if it is not 8 to 127 bytes long, or of the type `WATCH_TYPE_META`, 0, which is for
    /// the queue's own messages.
    ///
    /// # Examples
    ///
    /// ```
    /// use kernel::{
    ///     new_watch_list,
    ///     watch_queue::Cause, //
    /// };
    ///
    /// let list = KBox::pin_init(new_watch_list!(), GFP_KERNEL)?;
    /// let message = [1_u8; 128];
    ///
    /// assert!(list.post_bytes(1, Cause::CurrentTask, &message[..127]).is_ok());
    /// assert_eq!(list.post_bytes(1, Cause::CurrentTask, &message), Err(EINVAL));
    /// assert_eq!(list.post_bytes(1, Cause::CurrentTask, &message[..7]), Err(EINVAL));
    /// assert_eq!(list.post_bytes(1, Cause::CurrentTask, &[0; 8]), Err(EINVAL));
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// [`post_notification`]: Self::post_notification
    #[inline]
    pub fn post_bytes(&self, id: u64, cause: Cause<'_>, message: &[u8]) -> Result {
        // The type is in the first three bytes, on machines of either endianness.
        if !MESSAGE_SIZES.contains(&message.len()) || message[..3] == [0; 3] {
            return Err(EINVAL);
        }
        if self.is_watched() {
            let mut copy = Aligned([0_u8; *MESSAGE_SIZES.end()]);
            copy.0[..message.len()].copy_from_slice(message);
            // SAFETY: The array has at least `message.len()` bytes, all of them initialised, and
            // that is 8 to 127, as has been checked.
            unsafe { self.post(id, cause, (&raw mut copy).cast(), message.len()) };
        }
        Ok(())
    }

    /// Posts the message at `message`, and overwrites part of its header.
    ///
    /// # Safety
    ///
    /// `message` is valid for reads and writes of `size` initialised bytes, and `size` is one of
    /// the [`MESSAGE_SIZES`].
    #[inline(never)]
    unsafe fn post(
        &self,
        id: u64,
        cause: Cause<'_>,
        message: *mut bindings::watch_notification,
        size: usize,
    ) {
        let cred = cause.as_ptr();
        // SAFETY: The caller lends the message, which is as long as it now says.  The
        // list is initialised by the invariants and stays so as long as it is borrowed.  The
        // credentials are borrowed, or those of the current task, which does not change them here.
        unsafe {
            (*message).info = (*message).info & bindings::WATCH_INFO_TYPE_INFO | size as u32;
            bindings::post_watch_notification(self.inner.get(), message, cred, id);
        }
    }
}

#[pinned_drop]
impl PinnedDrop for WatchList {
    fn drop(self: Pin<&mut Self>) {
        // Nobody uses the list after this: posting and attaching borrow it, and the queues that
        // watched it are detached.  So there is no grace period to wait for, unlike for a list that
        // posts find under RCU.
        self.remove_all(0);
    }
}

/// A reference to a queue.
///
/// # Invariants
///
/// The reference is owned.
struct QueueRef(NonNull<bindings::watch_queue>);

impl QueueRef {
    fn from_fd(fd: i32) -> Result<Self> {
        // SAFETY: This can be called with any number.
        let queue = from_err_ptr(unsafe { bindings::get_watch_queue(fd) })?;
        // INVARIANT: The reference was just taken.
        NonNull::new(queue).map(Self).ok_or(EINVAL)
    }

    fn as_ptr(&self) -> *mut bindings::watch_queue {
        self.0.as_ptr()
    }
}

impl Drop for QueueRef {
    fn drop(&mut self) {
        // SAFETY: The reference is owned, by the invariants.
        unsafe { bindings::put_watch_queue(self.0.as_ptr()) };
    }
}

#[cfg(CONFIG_WATCH_QUEUE_KUNIT_TEST)]
#[macros::kunit_tests(watch_queue_source)]
mod tests {
    use super::*;
    use crate::{
        fs::{
            file::flags::O_NONBLOCK,
            LocalFile, //
        },
        ioctl::_IO,
        sync::aref::ARef, //
    };
    use core::mem::offset_of;

    const ID: u64 = 77;
    const TAG: u8 = 0x5a;

    /// A notification pipe with room for 32 messages.
    struct Pipe {
        fds: [c_int; 2],
        reader: ARef<LocalFile>,
    }

    impl Pipe {
        fn new() -> Result<Self> {
            let mut fds = [-1; 2];
            let flags = bindings::O_NOTIFICATION_PIPE | O_NONBLOCK;
            // SAFETY: There is room for two file descriptors.
            to_result(unsafe { bindings::do_pipe_flags(fds.as_mut_ptr(), flags as c_int) })?;
            let reader = LocalFile::fget(fds[0] as u32)?;
            let pipe = Self { fds, reader };

            let file = pipe.reader.as_ptr();
            // SAFETY: The file is open, and has file operations.
            let ioctl = unsafe { (*(*file).f_op).unlocked_ioctl }.ok_or(ENOTTY)?;
            // SAFETY: This is what the function is for.
            to_result(unsafe { ioctl(file, _IO(u32::from(b'W'), 0x60), 32) } as c_int)?;
            Ok(pipe)
        }

        fn fd(&self) -> i32 {
            self.fds[0]
        }

        /// Reads what there is, as bytes.
        fn read<'a>(&self, buffer: &'a mut [u8]) -> &'a [u8] {
            let vec = bindings::kvec {
                iov_base: buffer.as_mut_ptr().cast(),
                iov_len: buffer.len(),
            };
            let iter = Opaque::<bindings::iov_iter>::uninit();
            // SAFETY: The file is open, and the buffer is that large.
            let bytes = unsafe {
                let direction = bindings::ITER_DEST;
                bindings::iov_iter_kvec(iter.get(), direction, &vec, 1, buffer.len());
                let position = core::ptr::null_mut();
                bindings::vfs_iter_read(self.reader.as_ptr(), iter.get(), position, 0)
            };
            &buffer[..usize::try_from(bytes).unwrap_or(0)]
        }
    }

    impl Drop for Pipe {
        fn drop(&mut self) {
            for fd in self.fds {
                // SAFETY: This can be called with any number.
                unsafe { bindings::close_fd(fd as c_uint) };
            }
        }
    }

    #[repr(C)]
    #[derive(IntoBytes)]
    struct Measured {
        header: Header<Self>,
        value: u64,
    }

    impl Notification for Measured {
        const TYPE: u32 = 0x00ab_cdef;
        type Subtype = u8;
        const HEADER: usize = offset_of!(Self, header);
    }

    fn measured(value: u64) -> Measured {
        Measured {
            header: Header::new(0x42),
            value,
        }
    }

    /// The header of a message as it lies in memory.
    fn header(kind: u32, subtype: u8, info: u32) -> [u8; 8] {
        let mut raw = bindings::watch_notification::default();
        raw.set_type(kind);
        raw.set_subtype(u32::from(subtype));
        raw.info = info;
        // SAFETY: These are eight initialised bytes.
        unsafe { core::mem::transmute(raw) }
    }

    fn new_list() -> Result<Pin<KBox<WatchList>>> {
        KBox::pin_init(new_watch_list!(), GFP_KERNEL)
    }

    #[test]
    fn a_queue_watches_an_object_once() -> Result {
        let (list, pipe) = (new_list()?, Pipe::new()?);

        assert!(!list.is_watched());
        assert_eq!(list.remove_watch(pipe.fd(), ID), Err(EBADSLT));
        list.add_watch(pipe.fd(), ID, TAG)?;
        assert!(list.is_watched());
        assert_eq!(list.add_watch(pipe.fd(), ID, TAG), Err(EBUSY));
        list.add_watch(pipe.fd(), ID + 1, TAG)?;

        list.remove_watch(pipe.fd(), ID)?;
        assert_eq!(list.remove_watch(pipe.fd(), ID), Err(EBADSLT));
        assert!(list.is_watched());
        list.remove_watch(pipe.fd(), ID + 1)?;
        assert!(!list.is_watched());
        Ok(())
    }

    #[test]
    fn only_notification_pipes_can_watch() -> Result {
        let list = new_list()?;

        for fd in [-1, i32::MIN, i32::MAX] {
            assert_eq!(list.add_watch(fd, ID, TAG), Err(EINVAL));
            assert_eq!(list.remove_watch(fd, ID), Err(EINVAL));
        }
        let mut fds = [-1; 2];
        // SAFETY: There is room for two file descriptors.
        to_result(unsafe { bindings::do_pipe_flags(fds.as_mut_ptr(), 0) })?;
        assert_eq!(list.add_watch(fds[0], ID, TAG), Err(EINVAL));
        for fd in fds {
            // SAFETY: This can be called with any number.
            unsafe { bindings::close_fd(fd as c_uint) };
        }
        assert!(!list.is_watched());
        Ok(())
    }

    #[test]
    fn a_message_is_read_as_it_was_posted() -> Result {
        let (list, pipe) = (new_list()?, Pipe::new()?);
        let mut buffer = [0; 64];

        for tag in [0, 1, TAG, 255] {
            list.add_watch(pipe.fd(), ID, tag)?;
            list.post_notification(ID + 1, Cause::CurrentTask, measured(1));
            assert_eq!(pipe.read(&mut buffer).len(), 0);

            let message = measured(0x0123_4567_89ab_cdef);
            list.post_notification(ID, Cause::CurrentTask, message);
            let bytes = pipe.read(&mut buffer);
            assert_eq!(bytes.len(), 16);
            let info = 16 | u32::from(tag) << 8;
            assert_eq!(bytes[..8], header(0x00ab_cdef, 0x42, info));
            assert_eq!(bytes[8..], 0x0123_4567_89ab_cdef_u64.to_ne_bytes());

            list.remove_watch(pipe.fd(), ID)?;
            assert_eq!(pipe.read(&mut buffer).len(), 16);
        }
        Ok(())
    }

    #[test]
    fn type_info_is_kept_and_the_rest_of_info_is_not_the_posters() -> Result {
        let (list, pipe) = (new_list()?, Pipe::new()?);
        let mut buffer = [0; 64];
        let expected = header(0x00ab_cdef, 0x42, 0xfedc_0000 | u32::from(TAG) << 8 | 16);
        list.add_watch(pipe.fd(), ID, TAG)?;

        let mut message = measured(0);
        message.header = message.header.with_type_info(0xfedc);
        list.post_notification(ID, Cause::CurrentTask, message);
        assert_eq!(pipe.read(&mut buffer)[..8], expected);

        let mut message = [0; 16];
        message[..8].copy_from_slice(&header(0x00ab_cdef, 0x42, 0xfedc_ffff));
        list.post_bytes(ID, Cause::CurrentTask, &message)?;
        assert_eq!(pipe.read(&mut buffer)[..8], expected);
        Ok(())
    }

    #[test]
    fn bytes_of_any_length_that_a_message_can_have_are_posted() -> Result {
        let (list, pipe) = (new_list()?, Pipe::new()?);
        let mut buffer = [0; 256];
        let mut message = [0; 256];
        for (i, byte) in message.iter_mut().enumerate() {
            *byte = i as u8;
        }
        list.add_watch(pipe.fd(), ID, 0)?;

        for size in 0..message.len() {
            let posted = list.post_bytes(ID, Cause::CurrentTask, &message[..size]);
            let bytes = pipe.read(&mut buffer);
            if (8..=127).contains(&size) {
                assert!(posted.is_ok());
                assert_eq!(bytes.len(), size);
                assert_eq!(bytes[8..], message[8..size]);
            } else {
                assert_eq!(posted, Err(EINVAL));
                assert!(bytes.is_empty());
            }
        }
        Ok(())
    }

    #[test]
    fn given_credentials_do_for_a_post() -> Result {
        let (list, pipe) = (new_list()?, Pipe::new()?);
        list.add_watch(pipe.fd(), ID, TAG)?;

        let opener = Cause::Credential(pipe.reader.cred());
        list.post_notification(ID, opener, measured(0));
        assert_eq!(pipe.read(&mut [0; 64]).len(), 16);
        Ok(())
    }

    #[test]
    fn one_of_several_objects_may_go() -> Result {
        let (list, pipe, other) = (new_list()?, Pipe::new()?, Pipe::new()?);
        let mut buffer = [0; 64];
        for pipe in [&pipe, &other] {
            for id in [ID - 1, ID, ID + 1] {
                list.add_watch(pipe.fd(), id, TAG)?;
            }
        }

        list.remove_object(ID);
        for pipe in [&pipe, &other] {
            let bytes = pipe.read(&mut buffer);
            assert_eq!(bytes[..8], header(0, 0, u32::from(TAG) << 8 | 16));
            assert_eq!(bytes[8..], ID.to_ne_bytes());
            assert_eq!(list.remove_watch(pipe.fd(), ID), Err(EBADSLT));
        }
        list.post_notification(ID, Cause::CurrentTask, measured(0));
        for id in [ID - 1, ID + 1] {
            list.post_notification(id, Cause::CurrentTask, measured(id));
            let bytes = pipe.read(&mut buffer);
            assert_eq!(bytes[8..], id.to_ne_bytes());
            list.remove_watch(pipe.fd(), id)?;
            pipe.read(&mut buffer);
        }
        Ok(())
    }

    #[test]
    fn what_the_queue_says_nobody_else_can() -> Result {
        let (list, pipe) = (new_list()?, Pipe::new()?);
        let mut buffer = [0; 64];
        list.add_watch(pipe.fd(), ID, TAG)?;

        let loss = header(0, 1, 8);
        assert_eq!(list.post_bytes(ID, Cause::CurrentTask, &loss), Err(EINVAL));
        assert!(pipe.read(&mut buffer).is_empty());
        for kind in [1, 1 << 8, 1 << 16, 0xff_ffff] {
            let message = header(kind, 0, 8);
            list.post_bytes(ID, Cause::CurrentTask, &message)?;
            assert_eq!(pipe.read(&mut buffer)[..4], message[..4]);
        }
        Ok(())
    }

    #[test]
    fn watchers_are_notified_of_the_end() -> Result {
        let (list, pipe, other) = (new_list()?, Pipe::new()?, Pipe::new()?);
        let mut buffer = [0; 64];
        let info = u32::from(TAG) << 8;
        list.add_watch(pipe.fd(), ID, TAG)?;
        list.add_watch(other.fd(), ID, TAG)?;

        list.remove_all(ID);
        for pipe in [&pipe, &other] {
            let bytes = pipe.read(&mut buffer);
            assert_eq!(bytes[..8], header(0, 0, info | 16));
            assert_eq!(bytes[8..], ID.to_ne_bytes());
        }
        assert!(!list.is_watched());
        list.remove_all(ID);
        list.remove_object(ID);

        list.add_watch(pipe.fd(), ID, TAG)?;
        drop(list);
        assert_eq!(pipe.read(&mut buffer), header(0, 0, info | 8));
        assert!(pipe.read(&mut buffer).is_empty());
        Ok(())
    }
}
