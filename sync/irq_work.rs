// SPDX-License-Identifier: GPL-2.0

//! A function that is called soon, in a context that allows more than that of the caller.
//!
//! C header: [`include/linux/irq_work.h`](srctree/include/linux/irq_work.h)

use kernel::{bindings, types::Opaque};

/// A function to call with the work that was queued.
pub(crate) type Function = unsafe extern "C" fn(*mut bindings::irq_work);

/// Work for an interrupt that this CPU sends to itself, or for a thread with `CONFIG_PREEMPT_RT`.
///
/// In both a `spinlock_t` may be taken and tasks may be woken.  Architectures without such an
/// interrupt do it in the next tick.
#[repr(transparent)]
pub(crate) struct IrqWork(Opaque<bindings::irq_work>);

// SAFETY: Work can be queued and waited for on any thread.
unsafe impl Send for IrqWork {}
// SAFETY: As above.
unsafe impl Sync for IrqWork {}

impl IrqWork {
    /// Makes work that calls `function`.
    pub(crate) fn new(function: Function) -> Self {
        // As `init_irq_work()` does.
        Self(Opaque::new(bindings::irq_work {
            func: Some(function),
            ..Default::default()
        }))
    }

    /// Has the function called soon.  If a call is pending already, there is no second one.
    ///
    /// Context: Any.
    ///
    /// # Safety
    ///
    /// The work stays where it is until [`IrqWork::sync`] has returned.  The function can be called
    /// with it as long.
    pub(crate) unsafe fn queue(&self) {
        // SAFETY: The work is initialised, and stays.
        unsafe { bindings::irq_work_queue(self.0.get()) };
    }

    /// Waits until the function has returned.
    ///
    /// Context: Process context; may sleep.
    pub(crate) fn sync(&self) {
        // SAFETY: The work is initialised.
        unsafe { bindings::irq_work_sync(self.0.get()) };
    }
}
