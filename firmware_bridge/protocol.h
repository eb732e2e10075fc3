/* The wire between glasses and host: the only definition of it. The firmware includes this file, Python parses it
 * (firmware_bridge/protocol.py), and both greet with a hash of it, so that two builds that disagree never talk.
 *
 * Everything is little-endian and packed. A frame is COBS(body, CRC-32 of body) and a zero byte. The first byte of
 * a body is its kind. Any change here needs a new PROTOCOL_VERSION (tests/unit/firmware_bridge/test_protocol.py pins the hash).
 *
 * For the parser: #define NAME number; enum with explicit values; struct of fixed-width fields, arrays of a literal
 * or defined length, and at most one flexible array, last. MSG_X is followed by struct msg_x, or by nothing.
 */
#ifndef GLASSES_PROTOCOL_H
#define GLASSES_PROTOCOL_H

#include <stdint.h>

#define PACKED __attribute__((packed))

#define PROTOCOL_VERSION 1
#define PROTOCOL_MAGIC 0x534c4721 /* "!GLS" on the wire */

#define MAX_MESSAGE 672 /* 20 ms of 16 kHz PCM16 and its header */
#define MAX_BODY 704    /* a sealed data frame of MAX_MESSAGE, rounded up */
#define MAX_WINDOW 32   /* frames in flight of a channel: the bits of struct frame_ack.mask, and the next one */
#define KEY_BYTES 32
#define TAG_BYTES 16
#define NONCE_BYTES 16
#define HASH_BYTES 8

enum frame_kind {
    FRAME_HELLO = 0x01,  /* both ways, in clear: who speaks */
    FRAME_NOISE1 = 0x02, /* host: Noise_NNpsk0_25519_ChaChaPoly_BLAKE2b, -> psk, e */
    FRAME_NOISE2 = 0x03, /* device: <- e, ee */
    FRAME_SEALED = 0x04, /* any of those below, encrypted and authenticated */
    FRAME_DATA = 0x10,   /* one message; acknowledged, repeated until it is */
    FRAME_ACK = 0x11,
    FRAME_PING = 0x12,
    FRAME_PONG = 0x13,
    FRAME_BYE = 0x14, /* an end that is meant: nothing more will come in this session */
};

/* In order of priority. Each has its own sequence numbers and credit, and keeps its own order. */
enum channel {
    CHANNEL_CONTROL = 0,
    CHANNEL_AUDIO = 1,
    CHANNEL_BULK = 2,
};
#define CHANNELS 3

enum hello_flag {
    HELLO_REPLY = 1,  /* from the device; echo is the host's nonce */
    HELLO_SEALED = 2, /* keyed: this side has a key and speaks no other way */
};

/* The first 16 bytes never change, so that any two versions can tell each other who they are. */
struct frame_hello {
    uint8_t kind;
    uint8_t version;
    uint8_t flags;
    uint8_t session; /* chosen by the host, +1 a greeting; frames of another session are dropped */
    uint32_t magic;
    uint8_t hash[HASH_BYTES];
    uint32_t epoch; /* random, new at every boot: another epoch has forgotten everything */
    uint8_t nonce[NONCE_BYTES];
    uint8_t echo[NONCE_BYTES];
} PACKED;

struct frame_noise {
    uint8_t kind;
    uint8_t session;
    uint8_t ephemeral[KEY_BYTES];
    uint8_t tag[TAG_BYTES];
} PACKED;

struct frame_sealed {
    uint8_t kind;
    uint8_t session;
    uint32_t counter; /* the nonce; never twice under one key, and refused when seen before */
    uint8_t data[];
} PACKED;

struct frame_data {
    uint8_t kind;
    uint8_t session;
    uint8_t channel;
    uint8_t reserved;
    uint16_t seq;
    uint16_t t_ms; /* the sender's clock at this transmission; comes back in echo_ms */
    uint8_t data[];
} PACKED;

struct frame_ack {
    uint8_t kind;
    uint8_t session;
    uint8_t channel;
    uint8_t reserved;
    uint16_t next;    /* all before this one have arrived */
    uint16_t limit;   /* the credit: the first one that may not be sent yet */
    uint32_t mask;    /* bit i: next + 1 + i has arrived too */
    uint16_t echo_ms; /* t_ms of the first frame that this acknowledges; 0: of none */
} PACKED;

struct frame_ping {
    uint8_t kind;
    uint8_t session;
    uint16_t id;
    uint64_t t1_us; /* asker's clock when asked */
} PACKED;

struct frame_pong {
    uint8_t kind;
    uint8_t session;
    uint16_t id;
    uint64_t t1_us; /* as asked */
    uint64_t t2_us; /* answerer's clock on receipt */
    uint64_t t3_us; /* answerer's clock on answering */
} PACKED;

struct frame_bye {
    uint8_t kind;
    uint8_t session;
} PACKED;

/* The first byte of a message. 0x01-0x3f host to device, 0x40-0x7f device to host, 0x80-0x8f both ways. */
enum message {
    MSG_INFO_GET = 0x01,
    MSG_MIC = 0x02,
    MSG_SPEAK = 0x03,
    MSG_CAPTURE = 0x04,
    MSG_CAPTURE_STOP = 0x05,
    MSG_HUD_CLEAR = 0x06,
    MSG_HUD_TEXT = 0x07,
    MSG_HUD_BITMAP = 0x08,
    MSG_HUD_READ = 0x09,
    MSG_HAPTIC = 0x0a,
    MSG_CAPTURE_LIGHT = 0x0b,
    MSG_IMU_RATE = 0x0c,
    MSG_SETTING_GET = 0x0d,
    MSG_SETTING_SET = 0x0e,
    MSG_SIMULATE = 0x3f,
    MSG_INFO = 0x40,
    MSG_AUDIO = 0x41,
    MSG_PHOTO = 0x42,
    MSG_PHOTO_CHUNK = 0x43,
    MSG_PHOTO_END = 0x44,
    MSG_HUD_DATA = 0x45,
    MSG_BUTTON = 0x46,
    MSG_TOUCH = 0x47,
    MSG_WORN = 0x48,
    MSG_IMU = 0x49,
    MSG_BATTERY = 0x4a,
    MSG_MUTE = 0x4b,
    MSG_SETTING = 0x4c,
    MSG_LOG = 0x4d,
    MSG_HEARTBEAT = 0x4e,
    MSG_RESULT = 0x4f,
    MSG_SMP = 0x80, /* one SMP request or response: firmware update */
};

enum status {
    STATUS_OK = 0,
    STATUS_BUSY = 1,
    STATUS_UNSUPPORTED = 2,
    STATUS_BAD_VALUE = 3,
    STATUS_MUTED = 4,
    STATUS_FAULT = 5,
    STATUS_STOPPED = 6,
};

/* What a device has: bits of msg_info.capabilities. A host asks for nothing else. */
enum capability {
    CAP_MICROPHONE = 0x0001,
    CAP_SPEAKER = 0x0002,
    CAP_CAMERA = 0x0004,
    CAP_HUD = 0x0008,
    CAP_HUD_READ = 0x0010,
    CAP_BUTTON = 0x0020,
    CAP_TOUCH = 0x0040,
    CAP_WORN = 0x0080,
    CAP_IMU = 0x0100,
    CAP_BATTERY = 0x0200,
    CAP_HAPTIC = 0x0400,
    CAP_CAPTURE_LIGHT = 0x0800,
    CAP_MUTE_SWITCH = 0x1000,
    CAP_UPDATE = 0x2000,
    CAP_SIMULATED = 0x4000,
};

/* Bits of msg_info.codecs are 1 << codec. */
enum codec {
    CODEC_PCM16 = 0,
    CODEC_OPUS = 1,
    CODEC_LC3 = 2,
};

enum reset_reason {
    RESET_POWER_ON = 0,
    RESET_PIN = 1,
    RESET_SOFTWARE = 2,
    RESET_WATCHDOG = 3,
    RESET_BROWN_OUT = 4,
    RESET_FAULT = 5,
};

struct msg_info {
    uint8_t protocol_version;
    uint8_t reset_reason;
    uint8_t slot;      /* which of the two firmware slots runs */
    uint8_t confirmed; /* 0: this firmware is on trial and gone after the next reset */
    uint32_t capabilities;
    uint16_t codecs;
    uint16_t mic_rate_hz;
    uint16_t speaker_rate_hz;
    uint16_t camera_width;
    uint16_t camera_height;
    uint16_t hud_width;
    uint16_t hud_height;
    uint8_t hud_bits;
    uint8_t window; /* frames a channel holds on the device */
    uint8_t firmware_version[3];
    uint8_t board[16]; /* UTF-8, zero-padded */
} PACKED;

struct msg_mic {
    uint8_t on;
    uint8_t codec;
} PACKED;

/* Sound for the speaker. */
struct msg_speak {
    uint32_t seq;
    uint8_t codec;
    uint8_t data[];
} PACKED;

/* Sound from the microphone: 20 ms; in Opus one packet, in LC3 two frames of 10 ms and half the bytes each. A step in
 * seq of more than one is sound that the device had no room for. */
struct msg_audio {
    uint64_t t_us; /* device clock at the first sample */
    uint32_t seq;
    uint8_t codec;
    uint8_t data[];
} PACKED;

struct msg_capture {
    uint16_t request;
    uint16_t width;
    uint16_t height;
    uint8_t quality; /* 1-100 */
} PACKED;

struct msg_capture_stop {
    uint16_t request;
} PACKED;

struct msg_photo {
    uint16_t request;
    uint64_t t_us; /* device clock at the middle of the exposure */
    uint32_t size; /* bytes of JPEG that follow */
    uint16_t width;
    uint16_t height;
} PACKED;

struct msg_photo_chunk {
    uint16_t request;
    uint32_t offset;
    uint8_t data[];
} PACKED;

struct msg_photo_end {
    uint16_t request;
    uint8_t status;
    uint32_t crc32; /* of the whole JPEG */
} PACKED;

struct msg_hud_text {
    uint16_t x;
    uint16_t y;
    uint8_t level; /* 0-255 */
    uint8_t data[]; /* UTF-8; what the font lacks shows as a box */
} PACKED;

/* Rows of a region, top to bottom; one message holds whole rows. */
struct msg_hud_bitmap {
    uint16_t x;
    uint16_t y;
    uint16_t width;
    uint8_t bits; /* 1: eight pixels a byte, first in the top bit, rows start on a byte; 8: one pixel a byte */
    uint8_t data[];
} PACKED;

struct msg_hud_read {
    uint32_t offset;
} PACKED;

struct msg_hud_data {
    uint32_t offset; /* into rows of one byte a pixel */
    uint8_t data[];
} PACKED;

struct msg_haptic {
    uint16_t duration_ms;
    uint8_t strength;
} PACKED;

struct msg_capture_light {
    uint8_t on; /* asks for more light than the firmware shows anyway; it cannot ask for less */
} PACKED;

struct msg_imu_rate {
    uint16_t rate_hz; /* 0: off */
} PACKED;

enum setting {
    SETTING_VOLUME = 0,
    SETTING_BRIGHTNESS = 1,
    SETTING_MIC_GAIN = 2,
};
#define SETTINGS 3

struct msg_setting_get {
    uint8_t setting;
} PACKED;

struct msg_setting_set {
    uint8_t setting;
    int32_t value; /* 0-100 */
} PACKED;

struct msg_setting {
    uint8_t setting;
    int32_t value;
} PACKED;

struct msg_button {
    uint64_t t_us;
    uint8_t button;
    uint8_t pressed;
} PACKED;

struct msg_touch {
    uint64_t t_us;
    uint8_t gesture; /* 1 tap, 2 double tap, 3 long, 4 forward, 5 back */
} PACKED;

struct msg_worn {
    uint64_t t_us;
    uint8_t worn;
} PACKED;

struct msg_imu {
    uint64_t t_us;
    int16_t acceleration_mg[3];
    int16_t rotation_ddps[3]; /* tenths of a degree a second */
} PACKED;

struct msg_battery {
    uint8_t percent;
    uint8_t charging;
    uint16_t voltage_mv;
    int16_t temperature_dc; /* tenths of a degree C */
} PACKED;

struct msg_mute {
    uint8_t muted; /* the hardware switch: with it on no sound leaves the device */
} PACKED;

struct msg_log {
    uint8_t level; /* 0 debug - 4 critical */
    uint8_t data[]; /* UTF-8 */
} PACKED;

struct msg_heartbeat {
    uint32_t uptime_ms;
    uint32_t faults;
    uint32_t crc_errors;
    uint32_t forged; /* sealed frames that were not authentic, or came twice */
    uint32_t repeated; /* data frames sent again */
    uint32_t audio_shed; /* 20 ms of microphone that found no room */
    uint32_t speaker_bytes;
    uint32_t speaker_crc32; /* of all sound received since boot, in order */
    uint32_t haptic_ms;
    uint8_t capture_light;
} PACKED;

/* How a command ended that has no answer of its own. */
struct msg_result {
    uint8_t message;
    uint8_t status;
} PACKED;

struct msg_smp {
    uint8_t reserved; /* 0; a struct of C needs more than its free bytes */
    uint8_t data[];
} PACKED;

/* Only on a device with CAP_SIMULATED: plays what a hand, a battery or a fault would do. */
enum simulated {
    SIMULATED_BUTTON = 0,
    SIMULATED_TOUCH = 1,
    SIMULATED_WORN = 2,
    SIMULATED_BATTERY = 3,
    SIMULATED_MUTE = 4,
    SIMULATED_CAMERA_FAULT = 5,
    SIMULATED_HANG = 6,
    SIMULATED_BROWN_OUT = 7,
};

struct msg_simulate {
    uint8_t what;
    int32_t value;
} PACKED;

#endif
