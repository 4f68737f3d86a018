//! The whole node: root and leaf, downloads, installation, trial, reports.
#![no_std]
#![no_main]

use core::mem::MaybeUninit;

use embedded_storage::nor_flash::{ErrorType, NorFlash, NorFlashErrorKind, ReadNorFlash};
use rootcast_image::ChipId;
use rootcast_node::{
    BootInfo, Destination, Input, Instant, MeshState, Node, Output, Platform, SettingKey, SettingLost,
    Settings,
};
use rootcast_wire::{ErrorCode, NodeId, NodeType};
use size_probe::{input, input_byte, input_word, output, output_bytes};

struct Chip;

impl ErrorType for Chip {
    type Error = NorFlashErrorKind;
}

impl ReadNorFlash for Chip {
    const READ_SIZE: usize = 4;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), Self::Error> {
        output(offset);
        input(bytes);
        if input_byte() == 0 { Ok(()) } else { Err(NorFlashErrorKind::Other) }
    }

    fn capacity(&self) -> usize {
        input_word() as usize
    }
}

impl NorFlash for Chip {
    const WRITE_SIZE: usize = 4;
    const ERASE_SIZE: usize = 4096;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), Self::Error> {
        output(from);
        output(to);
        if input_byte() == 0 { Ok(()) } else { Err(NorFlashErrorKind::Other) }
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), Self::Error> {
        output(offset);
        output_bytes(bytes);
        if input_byte() == 0 { Ok(()) } else { Err(NorFlashErrorKind::Other) }
    }
}

impl Platform for Chip {
    type Flash = Self;

    fn flash(&mut self) -> &mut Self {
        self
    }

    fn random(&mut self) -> u32 {
        input_word()
    }

    fn load(&mut self, _: SettingKey, into: &mut [u8]) -> Option<usize> {
        input(into);
        (input_byte() == 0).then_some(into.len())
    }

    fn store(&mut self, _: SettingKey, value: &[u8]) -> Result<(), SettingLost> {
        output_bytes(value);
        Ok(())
    }
}

/// A node that, as a root, keeps track of as many others as the ESP32-C3's firmware does.
type ChipNode = Node<128>;

/// Where the node lives: static, so that the linker counts it.
static mut NODE: MaybeUninit<ChipNode> = MaybeUninit::uninit();
/// Where a body keeps what has just come in: a segment, a frame or a message.
static mut RECEIVED: [u8; 1536] = [0; 1536];

#[unsafe(no_mangle)]
extern "C" fn _start() -> ! {
    let mut chip = Chip;
    let now = || Instant(u64::from(input_word()));
    let mut settings = Settings::new(NodeId(u64::from(input_word())), NodeType::Switch, ChipId::ESP32C3);
    settings.is_root = input_byte() != 0;
    // SAFETY: one thread, one reference.
    let (node, received) = unsafe { (&mut *(&raw mut NODE), &mut *(&raw mut RECEIVED)) };
    let Ok(node) = ChipNode::boot_in(node, settings, BootInfo::default(), now(), &mut chip) else { loop {} };
    loop {
        input(received);
        let event = match input_byte() {
            0 => Input::Frame(received),
            1 => Input::Mesh(MeshState { joined: input_byte() != 0, ..MeshState::default() }),
            2 => Input::MqttConnected,
            3 => Input::MqttDisconnected,
            4 => Input::MqttMessage { topic: "/switch/cmd/root", payload: received },
            5 => Input::StreamConnected,
            6 => Input::StreamData(received),
            7 => Input::StreamClosed,
            8 => Input::StreamFailed(ErrorCode::CertificateExpired),
            9 => Input::ApplicationHealth(input_byte() != 0),
            _ => Input::WallClock { unix_s: u64::from(input_word()) },
        };
        node.handle(now(), event, &mut chip);
        node.handle_timeout(now(), &mut chip);
        output(node.deadline(now()).is_some().into());
        while let Some(wish) = node.poll(now(), &mut chip) {
            match wish {
                Output::SendFrame { to, bytes } => {
                    output((to == Destination::Everybody).into());
                    output_bytes(bytes);
                }
                Output::Publish { topic, payload, .. } => {
                    output_bytes(topic.as_bytes());
                    output_bytes(payload);
                }
                Output::Subscribe { topic } => output_bytes(topic.as_bytes()),
                Output::Connect { host, port, tls } => {
                    output_bytes(host.as_bytes());
                    output(u32::from(port) + u32::from(tls));
                }
                Output::Send(bytes) => output_bytes(bytes),
                Output::Led(colour) => output(colour as u32),
                Output::Close => output(2),
                Output::Restart => output(3),
            }
        }
    }
}
