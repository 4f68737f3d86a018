//! The RTC watchdog, which the main clock's failure does not stop, and why the chip started.

use esp_hal::peripherals::RTC_TIMER;
use esp_hal::rtc_cntl::{Rtc, RwdtStage, RwdtStageAction, SocResetReason};
use esp_hal::time::Duration;
use rootcast_node::ResetReason;

/// A loop that has not come round for so long hangs. A TLS handshake with RSA takes about two seconds of it.
const PATIENCE: Duration = Duration::from_secs(15);

/// The watchdog.
pub struct Watchdog(Rtc<'static>);

impl Watchdog {
    /// Starts it.
    pub fn start(timer: RTC_TIMER<'static>) -> Self {
        let mut rtc = Rtc::new(timer);
        rtc.rwdt.set_timeout(RwdtStage::Stage0, PATIENCE);
        rtc.rwdt.set_stage_action(RwdtStage::Stage0, RwdtStageAction::ResetSystem);
        rtc.rwdt.enable();
        Self(rtc)
    }

    /// The loop is alive.
    pub fn feed(&mut self) {
        self.0.rwdt.feed();
    }
}

/// Why the chip started. A panic notes itself ([`crate::panic`]), as the chip calls it a software reset.
pub fn reset_reason() -> ResetReason {
    let panicked = crate::panic::take_note();
    match esp_hal::system::reset_reason() {
        Some(SocResetReason::CoreSw | SocResetReason::Cpu0Sw) if panicked => ResetReason::Panic,
        Some(
            SocResetReason::CoreSw
            | SocResetReason::Cpu0Sw
            | SocResetReason::CoreUsbUart
            | SocResetReason::CoreUsbJtag,
        ) => ResetReason::Software,
        Some(
            SocResetReason::CoreMwdt0
            | SocResetReason::CoreMwdt1
            | SocResetReason::CoreRtcWdt
            | SocResetReason::Cpu0Mwdt0
            | SocResetReason::Cpu0Mwdt1
            | SocResetReason::Cpu0RtcWdt
            | SocResetReason::SysRtcWdt
            | SocResetReason::SysSuperWdt,
        ) => ResetReason::Watchdog,
        _ => ResetReason::PowerOn,
    }
}
