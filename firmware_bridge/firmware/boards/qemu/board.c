/* The board "qemu": Cortex-M3 mps2-an385 under the emulator. Its UART is real to the firmware; camera, microphone,
 * IMU, battery and HUD are simulated, and a test steers them with MSG_SIMULATE. */
#include "board.h"

#include <string.h>

#include "app.h"
#include "flash.h"
#include "photo.h"

#define HUD_WIDTH 256
#define HUD_HEIGHT 128
#define RING_BYTES 4096 /* a power of two */
#define WATCHDOG_US 2000000

static struct {
    volatile uint8_t data[RING_BYTES];
    volatile uint16_t head, tail;
} ring;

static struct {
    uint8_t hud[HUD_WIDTH * HUD_HEIGHT];
    uint64_t now_ticks, mic_us;
    uint32_t last_ticks, mic_sample;
    uint32_t random[4];
    enum reset_reason reason;
    struct msg_battery battery;
    bool muted, camera_fault;
} machine;

void uart_receive(void);
void uart_receive(void) {
    UART_INTCLEAR = 2;
    while (UART_STATE & 2) {
        uint8_t byte = (uint8_t)UART_DATA;
        uint16_t next = (ring.head + 1) & (RING_BYTES - 1);
        if (next != ring.tail) { /* else it is lost, the frame's CRC will not fit, and the host sends it again */
            ring.data[ring.head] = byte;
            ring.head = next;
        }
    }
}

static uint64_t now_us(void) {
    uint32_t ticks = ~TIMER_VALUE; /* it counts down, and over in 171 s */
    machine.now_ticks += (uint32_t)(ticks - machine.last_ticks);
    machine.last_ticks = ticks;
    return machine.now_ticks / CLOCK_MHZ;
}

/* xorshift128 (Marsaglia, 2003) from the seed that the machine was started with: QEMU's board has no better source. */
static void random_bytes(uint8_t *out, size_t size) {
    uint32_t *s = machine.random;
    for (size_t i = 0; i < size; i++) {
        uint32_t t = s[3] ^ s[3] << 11;
        s[3] = s[2];
        s[2] = s[1];
        s[1] = s[0];
        s[0] ^= s[0] >> 19 ^ t ^ t >> 8;
        out[i] = (uint8_t)(s[0] >> 8);
    }
}

static enum reset_reason reset_reason(void) {
    return machine.reason;
}

static void reset(enum reset_reason reason) {
    KEPT->reason = reason;
    SCB_AIRCR = AIRCR_RESET;
    for (;;) {
    }
}

static void feed_watchdog(void) {
    WATCHDOG_INTCLEAR = 1; /* any write loads it anew */
}

static const char *pairing_code(void) {
    const char *code = (const char *)FACTORY->pairing_code;
    return code[0] != '\0' ? code : NULL;
}

static bool mic_read(int16_t *pcm) {
    uint64_t now = now_us();
    if (now < machine.mic_us + 20000)
        return false;
    if (now - machine.mic_us > 1000000)
        machine.mic_us = now - 20000;
    machine.mic_us += 20000;
    for (int i = 0; i < MIC_SAMPLES; i++)
        pcm[i] = (int16_t)(machine.mic_sample++ * 31);
    return true;
}

static void speaker_write(const uint8_t *pcm, size_t size) {
    (void)pcm;
    (void)size;
}

static bool capture(uint16_t width, uint16_t height, uint8_t quality, const uint8_t **jpeg, uint32_t *size) {
    (void)width;
    (void)height;
    (void)quality;
    *jpeg = photo_jpeg;
    *size = PHOTO_BYTES;
    return !machine.camera_fault;
}

static void capture_light(bool on) {
    (void)on;
}

static void haptic(uint16_t duration_ms, uint8_t strength) {
    (void)duration_ms;
    (void)strength;
}

static void battery(struct msg_battery *out) {
    *out = machine.battery;
}

static void imu(struct msg_imu *out) {
    out->acceleration_mg[2] = 1000;
    out->rotation_ddps[0] = (int16_t)(now_us() / 1000 % 3600);
}

static bool muted(void) {
    return machine.muted;
}

void board_simulate(uint8_t what, int32_t value);
void board_simulate(uint8_t what, int32_t value) {
    if (what == SIMULATED_BUTTON)
        app_button((uint8_t)(value >> 1), value & 1);
    else if (what == SIMULATED_TOUCH)
        app_touch((uint8_t)value);
    else if (what == SIMULATED_WORN)
        app_worn(value != 0);
    else if (what == SIMULATED_MUTE) {
        machine.muted = value != 0;
        app_mute_changed();
    } else if (what == SIMULATED_BATTERY) {
        machine.battery.percent = (uint8_t)value;
        app_battery_changed();
    } else if (what == SIMULATED_CAMERA_FAULT) {
        machine.camera_fault = value != 0;
    } else if (what == SIMULATED_HANG) {
        for (;;) {
        }
    } else if (what == SIMULATED_BROWN_OUT) {
        reset(RESET_BROWN_OUT);
    }
}

const struct board board = {
    .name = "qemu mps2-an385",
    .capabilities = CAP_MICROPHONE | CAP_SPEAKER | CAP_CAMERA | CAP_HUD | CAP_HUD_READ | CAP_BUTTON | CAP_TOUCH | CAP_WORN |
                    CAP_IMU | CAP_BATTERY | CAP_HAPTIC | CAP_CAPTURE_LIGHT | CAP_MUTE_SWITCH | CAP_UPDATE | CAP_SIMULATED,
    .mic_rate_hz = 16000,
    .speaker_rate_hz = 16000,
    .camera_width = 640,
    .camera_height = 480,
    .hud_width = HUD_WIDTH,
    .hud_height = HUD_HEIGHT,
    .hud_bits = 8,
    .hud = machine.hud,
    .now_us = now_us,
    .random = random_bytes,
    .reset_reason = reset_reason,
    .reset = reset,
    .feed_watchdog = feed_watchdog,
    .pairing_code = pairing_code,
    .mic_read = mic_read,
    .speaker_write = speaker_write,
    .capture = capture,
    .capture_light = capture_light,
    .haptic = haptic,
    .battery = battery,
    .imu = imu,
    .muted = muted,
    .slot_size = SLOT_BYTES,
    .slot = flash_slot,
    .slot_erase = flash_erase,
    .slot_write = flash_write,
    .boot = (const struct boot_record *)KEPT,
    .boot_write = flash_boot_write,
};

static void machine_init(void) {
    machine.reason = (enum reset_reason)KEPT->reason;
    KEPT->reason = RESET_WATCHDOG; /* whatever ends this run without saying so */
    TIMER_RELOAD = UINT32_MAX;
    TIMER_VALUE = UINT32_MAX;
    TIMER_CTRL = 1;
    UART_BAUDDIV = 16;
    UART_CTRL = 1 | 2 | 8; /* transmit, receive, receive interrupt */
    NVIC_ENABLE = 1;
    WATCHDOG_LOCK = 0x1acce551;
    WATCHDOG_LOAD = WATCHDOG_US * CLOCK_MHZ / 2; /* it resets on the second time-out */
    WATCHDOG_CTRL = 3;
    SYSTICK_LOAD = CLOCK_MHZ * 1000 - 1;
    SYSTICK_CTRL = 7;
    machine.last_ticks = ~TIMER_VALUE;
    for (int i = 0; i < 4; i++) /* every start draws other numbers: epochs and keys must differ */
        machine.random[i] = FACTORY->seed[i] ^ (uint32_t)i ^ KEPT->boot[0].generation * 2654435761u ^
                            KEPT->boot[1].generation * 40503u;
    if ((machine.random[0] | machine.random[1] | machine.random[2] | machine.random[3]) == 0)
        machine.random[0] = 1;
    machine.battery = (struct msg_battery){.percent = 87, .voltage_mv = 3920, .temperature_dc = 251};
}

/* Until the next byte or millisecond. A loop that never sleeps starves the emulator's own thread that brings bytes. */
static void sleep(void) {
    __asm__ volatile("cpsid i");
    if (ring.tail == ring.head)
        __asm__ volatile("wfi");
    __asm__ volatile("cpsie i");
}

int main(void) {
    static uint8_t in[256], out[2 * MAX_WIRE];
    size_t out_used = 0, out_sent = 0;
    machine_init();
    app_init();
    for (;;) {
        size_t size = 0;
        for (; size < sizeof in && ring.tail != ring.head; size++) {
            in[size] = ring.data[ring.tail];
            ring.tail = (ring.tail + 1) & (RING_BYTES - 1);
        }
        if (size > 0)
            app_input(in, size);
        app_poll();
        if (out_sent == out_used) {
            out_used = app_output(out, sizeof out);
            out_sent = 0;
        }
        while (out_sent < out_used && !(UART_STATE & 1))
            UART_DATA = out[out_sent++];
        sleep();
    }
}
