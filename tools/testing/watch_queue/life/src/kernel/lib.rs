// SPDX-License-Identifier: GPL-2.0

//! The crate `kernel`, as far as watches need it.

/// [`core::mem::offset_of`] the other way round.
#[macro_export]
macro_rules! container_of {
    ($field:expr, $type:ty, $($path:tt)+) => {
        $field
            .cast::<u8>()
            .sub(::core::mem::offset_of!($type, $($path)+))
            .cast::<$type>()
    };
}

pub mod prelude {
    pub use core::ffi::{c_char, c_ulong, c_void, CStr};

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Error(pub i32);

    pub type Result<T = (), E = Error> = core::result::Result<T, E>;

    pub const ENOENT: Error = Error(-2);
    pub const EAGAIN: Error = Error(-11);
    pub const ENOMEM: Error = Error(-12);
    pub const EBUSY: Error = Error(-16);
    pub const ENODEV: Error = Error(-19);

    /// That of zerocopy.
    ///
    /// # Safety
    ///
    /// Whatever bytes it has, it is valid.
    pub unsafe trait FromBytes {}

    pub trait CStrExt {
        /// # Safety
        ///
        /// That of [`CStr::from_ptr`].
        unsafe fn from_char_ptr<'a>(text: *const c_char) -> &'a Self;
    }

    impl CStrExt for CStr {
        unsafe fn from_char_ptr<'a>(text: *const c_char) -> &'a Self {
            // SAFETY: The caller has a text.
            unsafe { Self::from_ptr(text) }
        }
    }

    pub use crate::alloc::KBox;
}

pub mod alloc {
    use crate::{
        bindings,
        prelude::*,
        world::{self, Kind},
    };
    use core::{
        marker::PhantomData,
        mem,
        ops::{Deref, DerefMut},
    };

    pub mod flags {
        pub struct Flags;
        pub const GFP_KERNEL_ACCOUNT: Flags = Flags;
    }

    /// Memory of which the world knows.
    pub struct KBox<T>(*mut T, PhantomData<T>);

    impl KBox<bindings::watch> {
        pub fn new(value: bindings::watch, _flags: flags::Flags) -> Result<Self> {
            Ok(Self(world::allocate(Kind::Watch, value), PhantomData))
        }
    }

    impl<T> KBox<T> {
        pub fn into_raw(this: Self) -> *mut T {
            let raw = this.0;
            mem::forget(this);
            raw
        }
    }

    impl<T> Deref for KBox<T> {
        type Target = T;

        fn deref(&self) -> &T {
            // SAFETY: The memory is owned.
            unsafe { &*self.0 }
        }
    }

    impl<T> DerefMut for KBox<T> {
        fn deref_mut(&mut self) -> &mut T {
            // SAFETY: The memory is owned.
            unsafe { &mut *self.0 }
        }
    }

    impl<T> Drop for KBox<T> {
        fn drop(&mut self) {
            // SAFETY: The memory is owned.
            unsafe { world::free(self.0.cast()) };
        }
    }
}

pub mod types {
    use core::{cell::UnsafeCell, mem::MaybeUninit};

    #[repr(transparent)]
    pub struct Opaque<T>(UnsafeCell<MaybeUninit<T>>);

    impl<T> Opaque<T> {
        pub const fn get(&self) -> *mut T {
            UnsafeCell::get(&self.0).cast()
        }
    }
}

pub mod cred {
    use crate::{bindings, sync::aref::AlwaysRefCounted, types::Opaque};
    use core::{ptr::NonNull, sync::atomic::Ordering};

    #[repr(transparent)]
    pub struct Credential(Opaque<bindings::cred>);

    impl Credential {
        /// # Safety
        ///
        /// `cred` is valid for `'a`.
        pub unsafe fn from_ptr<'a>(cred: *const bindings::cred) -> &'a Self {
            // SAFETY: The caller keeps it.
            unsafe { &*cred.cast() }
        }

        pub fn as_ptr(&self) -> *mut bindings::cred {
            self.0.get()
        }
    }

    impl AlwaysRefCounted for Credential {
        fn inc_ref(&self) {
            // SAFETY: It is valid.
            unsafe { (*self.as_ptr()).usage.fetch_add(1, Ordering::SeqCst) };
        }

        unsafe fn dec_ref(this: NonNull<Self>) {
            // SAFETY: It is valid until its count is 0, and here also thereafter.
            unsafe {
                (*this.as_ref().as_ptr())
                    .usage
                    .fetch_sub(1, Ordering::SeqCst)
            };
        }
    }
}

pub mod watch_queue {
    use crate::bindings;
    use std::cell::Cell;

    std::thread_local! {
        /// The credentials of all tasks of an execution.
        pub(crate) static CREDENTIALS: Cell<*const bindings::cred> =
            const { Cell::new(core::ptr::null()) };
    }

    pub enum Cause {
        CurrentTask,
    }

    impl Cause {
        #[allow(clippy::wrong_self_convention, reason = "the kernel's has it")]
        pub fn as_ptr(self) -> *const bindings::cred {
            CREDENTIALS.get()
        }
    }

    pub trait Notification: Sized {
        const HEADER: usize;
    }
}

pub mod sync {
    use core::ops::Deref;

    /// A `kernel::sync::Arc`: what it counts is no place to switch.
    pub struct Arc<T>(std::sync::Arc<T>);

    impl<T> Arc<T> {
        pub fn new(value: T) -> Self {
            Self(std::sync::Arc::new(value))
        }

        pub fn as_ptr(this: &Self) -> *const T {
            std::sync::Arc::as_ptr(&this.0)
        }

        pub fn into_raw(this: Self) -> *const T {
            std::sync::Arc::into_raw(this.0)
        }

        /// # Safety
        ///
        /// That of [`std::sync::Arc::from_raw`].
        pub unsafe fn from_raw(raw: *const T) -> Self {
            // SAFETY: The caller has a reference.
            Self(unsafe { std::sync::Arc::from_raw(raw) })
        }

        /// Returns how many references there are.
        pub fn nr_references(&self) -> usize {
            std::sync::Arc::strong_count(&self.0)
        }

        pub fn as_arc_borrow(&self) -> ArcBorrow<'_, T> {
            ArcBorrow(&self.0)
        }
    }

    impl<T> Clone for Arc<T> {
        fn clone(&self) -> Self {
            Self(self.0.clone())
        }
    }

    impl<T> Deref for Arc<T> {
        type Target = T;

        fn deref(&self) -> &T {
            &self.0
        }
    }

    pub struct ArcBorrow<'a, T>(&'a T);

    impl<T> Clone for ArcBorrow<'_, T> {
        fn clone(&self) -> Self {
            *self
        }
    }

    impl<T> Copy for ArcBorrow<'_, T> {}

    impl<T> ArcBorrow<'_, T> {
        /// # Safety
        ///
        /// `raw` is of an [`Arc`], which somebody keeps.
        pub unsafe fn from_raw(raw: *const T) -> Self {
            // SAFETY: The caller keeps it.
            Self(unsafe { &*raw })
        }
    }

    impl<T> From<ArcBorrow<'_, T>> for Arc<T> {
        fn from(borrow: ArcBorrow<'_, T>) -> Self {
            let raw: *const T = borrow.0;
            // SAFETY: What is borrowed is of an `Arc`.
            unsafe { std::sync::Arc::increment_strong_count(raw) };
            // SAFETY: This is the reference that was just counted.
            unsafe { Self::from_raw(raw) }
        }
    }

    impl<T> Deref for ArcBorrow<'_, T> {
        type Target = T;

        fn deref(&self) -> &T {
            self.0
        }
    }

    pub mod aref {
        use core::{marker::PhantomData, ops::Deref, ptr::NonNull};

        pub trait AlwaysRefCounted {
            fn inc_ref(&self);
            /// # Safety
            ///
            /// The caller has a reference, which it gives away.
            unsafe fn dec_ref(this: NonNull<Self>);
        }

        pub struct ARef<T: AlwaysRefCounted>(NonNull<T>, PhantomData<T>);

        impl<T: AlwaysRefCounted> ARef<T> {
            /// # Safety
            ///
            /// The caller has a reference, which it gives away.
            pub unsafe fn from_raw(raw: NonNull<T>) -> Self {
                Self(raw, PhantomData)
            }
        }

        impl<T: AlwaysRefCounted> From<&T> for ARef<T> {
            fn from(value: &T) -> Self {
                value.inc_ref();
                Self(NonNull::from(value), PhantomData)
            }
        }

        impl<T: AlwaysRefCounted> Deref for ARef<T> {
            type Target = T;

            fn deref(&self) -> &T {
                // SAFETY: There is a reference.
                unsafe { self.0.as_ref() }
            }
        }

        impl<T: AlwaysRefCounted> Drop for ARef<T> {
            fn drop(&mut self) {
                // SAFETY: There is a reference.
                unsafe { T::dec_ref(self.0) };
            }
        }
    }

    pub mod atomic {
        use core::sync::atomic::{AtomicI32, Ordering};

        pub struct Relaxed;

        #[repr(transparent)]
        pub struct Atomic<T>(core::cell::UnsafeCell<T>);

        impl Atomic<i32> {
            /// # Safety
            ///
            /// `value` is valid, and accessed atomically.
            pub unsafe fn from_ptr<'a>(value: *mut i32) -> &'a Self {
                // SAFETY: The caller keeps it.
                unsafe { &*value.cast() }
            }

            fn atomic(&self) -> &AtomicI32 {
                // SAFETY: It is valid, and accessed atomically.
                unsafe { AtomicI32::from_ptr(self.0.get()) }
            }

            pub fn fetch_add(&self, value: i32, _: Relaxed) -> i32 {
                self.atomic().fetch_add(value, Ordering::SeqCst)
            }

            pub fn fetch_sub(&self, value: i32, _: Relaxed) -> i32 {
                self.atomic().fetch_sub(value, Ordering::SeqCst)
            }
        }
    }

    pub mod rcu {
        use crate::world;

        pub struct Guard;

        pub fn read_lock() -> Guard {
            world::enter_section();
            Guard
        }

        impl Drop for Guard {
            fn drop(&mut self) {
                world::leave_section();
            }
        }
    }

    /// `sync/lock.rs`
    /// # Safety
    ///
    /// `value` is valid.
    pub unsafe fn read_once<T: Copy>(value: *const T) -> T {
        // SAFETY: The caller has a valid value.
        unsafe { value.read_volatile() }
    }

    pub mod lock {
        use crate::{bindings, world};
        use core::cell::UnsafeCell;

        pub struct RawLock<T> {
            lock: bindings::raw_spinlock_t,
            data: UnsafeCell<T>,
        }

        // SAFETY: All threads of a model are one thread.
        unsafe impl<T> Sync for RawLock<T> {}
        // SAFETY: As above.
        unsafe impl<T> Send for RawLock<T> {}

        pub struct Context;

        impl<T> RawLock<T> {
            pub fn new(data: T) -> Self {
                Self {
                    lock: bindings::raw_spinlock_t::default(),
                    data: UnsafeCell::new(data),
                }
            }

            pub fn with<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
                assert!(
                    !self.lock.is_freed.get(),
                    "a lock was used after it was freed"
                );
                let guard = self.lock.lock.lock().unwrap();
                assert!(
                    !self.lock.is_freed.get(),
                    "a lock was freed while it was waited for"
                );
                let _guard = Counted::new(guard);
                // SAFETY: The lock is held.
                f(unsafe { &mut *self.data.get() })
            }

            pub fn with_context<R>(&self, f: impl FnOnce(&mut T, &Context) -> R) -> R {
                self.with(|data| f(data, &Context))
            }

            pub fn with_inside<R>(&self, _outer: &Context, f: impl FnOnce(&mut T) -> R) -> R {
                self.with(f)
            }
        }

        impl RawLock<()> {
            /// # Safety
            ///
            /// `lock` is valid for `'a`.
            pub unsafe fn from_raw<'a>(lock: *mut bindings::raw_spinlock_t) -> &'a Self {
                const { assert!(size_of::<Self>() == size_of::<bindings::raw_spinlock_t>()) };
                // SAFETY: The caller keeps it, and there is no data.
                unsafe { &*lock.cast() }
            }
        }

        impl Default for bindings::raw_spinlock_t {
            fn default() -> Self {
                Self {
                    lock: loom::sync::Mutex::new(()),
                    is_freed: false.into(),
                }
            }
        }

        struct Counted<'a>(
            #[allow(dead_code, reason = "it is dropped")] loom::sync::MutexGuard<'a, ()>,
        );

        impl<'a> Counted<'a> {
            fn new(guard: loom::sync::MutexGuard<'a, ()>) -> Self {
                world::count_lock();
                Self(guard)
            }
        }

        impl Drop for Counted<'_> {
            fn drop(&mut self) {
                world::count_unlock();
            }
        }
    }
}
