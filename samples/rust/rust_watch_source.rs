// SPDX-License-Identifier: GPL-2.0

//! Rust sample of a source of notifications: a timer whose ticks can be watched.
//!
//! Each open file of `/dev/rust_watch_source` is a timer of its own, which ticks ten times a second
//! until the file is closed.  An ioctl attaches a notification pipe to it, and each tick is then a
//! message in that pipe.  See `watch_ticks.c` for the userspace side.

use core::mem::offset_of;
use kernel::{
    cred::Credential,
    fs::File,
    impl_has_hr_timer,
    ioctl::{
        _IOC_SIZE,
        _IOW, //
    },
    miscdevice::{
        MiscDevice,
        MiscDeviceOptions,
        MiscDeviceRegistration, //
    },
    new_watch_list,
    prelude::*,
    sync::{
        aref::ARef,
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc,
        ArcBorrow, //
    },
    time::{
        hrtimer::{
            ArcHrTimerHandle,
            HrTimer,
            HrTimerCallback,
            HrTimerCallbackContext,
            HrTimerPointer,
            HrTimerRestart,
            RelativeSoftMode, //
        },
        Delta,
        Monotonic, //
    },
    uaccess::UserSlice,
    watch_queue::{
        Cause,
        Header,
        Notification,
        WatchList, //
    },
};

/// Attaches a queue: its file descriptor and the tag of the watch.
const WATCH_TICKS: u32 = _IOW::<[i32; 2]>('|' as u32, 0x90);
/// Detaches a queue, given its file descriptor.
const UNWATCH_TICKS: u32 = _IOW::<i32>('|' as u32, 0x91);

const PERIOD: Delta = Delta::from_millis(100);

/// The id of the object.  There is one object to a list, so there is only one id.
const TIMER: u64 = 0;

module! {
    type: RustWatchSourceModule,
    name: "rust_watch_source",
    authors: ["Rust for Linux Contributors"],
    description: "Rust sample of a source of notifications",
    license: "GPL",
}

#[pin_data]
struct RustWatchSourceModule {
    #[pin]
    _device: MiscDeviceRegistration<TimerFile>,
}

impl kernel::InPlaceModule for RustWatchSourceModule {
    fn init(_module: &'static ThisModule) -> impl PinInit<Self, Error> {
        let options = MiscDeviceOptions {
            name: c"rust_watch_source",
        };

        try_pin_init!(Self {
            _device <- MiscDeviceRegistration::register(options),
        })
    }
}

/// The kind of tick that a message reports.  A filter can select one of them.
enum Tick {
    OnTime = 0,
    /// The timer's handler was held up so that other ticks were missed.
    Late = 1,
}

impl From<Tick> for u8 {
    fn from(tick: Tick) -> u8 {
        tick as u8
    }
}

/// The message that userspace reads for each tick.
#[repr(C)]
#[derive(IntoBytes)]
struct TickNotification {
    header: Header<Self>,
    /// The number of ticks so far, including those that were missed.
    ticks: u64,
    /// The number of ticks that were missed right before this one.
    missed: u64,
}

impl Notification for TickNotification {
    // A source in the tree has a `WATCH_TYPE_*` of its own.
    const TYPE: u32 = 0xffff01;
    type Subtype = Tick;
    const HEADER: usize = offset_of!(Self, header);
}

#[pin_data]
struct Timer {
    #[pin]
    timer: HrTimer<Self>,
    #[pin]
    watches: WatchList,
    /// Only the timer's handler changes this.
    ticks: Atomic<u64>,
    /// The credentials of the task that opened the file, and so causes the ticks.
    opener: ARef<Credential>,
}

impl Timer {
    fn new(opener: ARef<Credential>) -> impl PinInit<Self> {
        pin_init!(Self {
            timer <- HrTimer::new(),
            watches <- new_watch_list!(),
            ticks: Atomic::new(0),
            opener,
        })
    }
}

impl_has_hr_timer! {
    impl HasHrTimer<Self> for Timer {
        mode: RelativeSoftMode<Monotonic>, field: self.timer
    }
}

impl HrTimerCallback for Timer {
    type Pointer<'a> = Arc<Self>;

    fn run(
        this: ArcBorrow<'_, Self>,
        mut context: HrTimerCallbackContext<'_, Self>,
    ) -> HrTimerRestart {
        let missed = context.forward_now(PERIOD).saturating_sub(1);
        let ticks = this.ticks.load(Relaxed) + missed + 1;
        this.ticks.store(ticks, Relaxed);

        let tick = if missed == 0 {
            Tick::OnTime
        } else {
            Tick::Late
        };
        this.watches.post_notification(
            TIMER,
            Cause::Credential(&this.opener),
            TickNotification {
                header: Header::new(tick),
                ticks,
                missed,
            },
        );
        HrTimerRestart::Restart
    }
}

/// An open file.
struct TimerFile {
    /// The timer runs as long as there is this.
    _running: ArcHrTimerHandle<Timer>,
    /// The last reference when the file is closed.  The watches go with the timer, and the watchers
    /// get a removal notification.
    timer: Arc<Timer>,
}

#[vtable]
impl MiscDevice for TimerFile {
    type Ptr = KBox<Self>;

    fn open(file: &File, _misc: &MiscDeviceRegistration<Self>) -> Result<KBox<Self>> {
        let timer = Arc::pin_init(Timer::new(file.cred().into()), GFP_KERNEL)?;

        Ok(KBox::new(
            Self {
                _running: timer.clone().start(PERIOD),
                timer,
            },
            GFP_KERNEL,
        )?)
    }

    fn ioctl(me: &Self, _file: &File, cmd: u32, arg: usize) -> Result<isize> {
        let mut arg = UserSlice::new(UserPtr::from_addr(arg), _IOC_SIZE(cmd)).reader();

        match cmd {
            WATCH_TICKS => {
                let [fd, tag] = arg.read::<[i32; 2]>()?;
                // All that have the file may watch: the timer is the file's.
                me.timer.watches.add_watch(fd, TIMER, tag.try_into()?)?;
            }
            UNWATCH_TICKS => me.timer.watches.remove_watch(arg.read()?, TIMER)?,
            _ => return Err(ENOTTY),
        }
        Ok(0)
    }
}
