/* The board "nrf52840": link over UART0, button, haptic motor, capture light, battery voltage, watchdog, reset reasons.
 * Compiled and size-checked, NOT yet run on the chip. Registers: Nordic, nRF52840 Product Specification v1.8.
 * Pins: hardware/wiring.md. No radio: that needs Nordic's or Zephyr's stack above the same core. */
#include "board.h"

#include <string.h>

#include "app.h"

#define REG(address) (*(volatile uint32_t *)(address))
#define GPIO_OUTSET REG(0x50000508u)
#define GPIO_OUTCLR REG(0x5000050cu)
#define GPIO_IN REG(0x50000510u)
#define GPIO_DIRSET REG(0x50000518u)
#define GPIO_PIN_CNF(pin) REG(0x50000700u + 4u * (pin))
#define UART_STARTRX REG(0x40002000u)
#define UART_STARTTX REG(0x40002008u)
#define UART_RXDRDY REG(0x40002108u)
#define UART_TXDRDY REG(0x4000211cu)
#define UART_INTENSET REG(0x40002304u)
#define UART_ENABLE REG(0x40002500u)
#define UART_PSEL_TXD REG(0x4000250cu)
#define UART_PSEL_RXD REG(0x40002514u)
#define UART_RXD REG(0x40002518u)
#define UART_TXD REG(0x4000251cu)
#define UART_BAUDRATE REG(0x40002524u)
#define BAUD_1M 0x10000000u
#define TIMER_START REG(0x40008000u)
#define TIMER_CAPTURE0 REG(0x40008040u)
#define TIMER_BITMODE REG(0x40008508u)
#define TIMER_PRESCALER REG(0x40008510u)
#define TIMER_CC0 REG(0x40008540u)
#define RNG_START REG(0x4000d000u)
#define RNG_VALRDY REG(0x4000d100u)
#define RNG_CONFIG REG(0x4000d504u) /* bit 0: correct the bias */
#define RNG_VALUE REG(0x4000d508u)
#define WATCHDOG_START REG(0x40010000u)
#define WATCHDOG_CRV REG(0x40010504u)
#define WATCHDOG_RREN REG(0x40010508u)
#define WATCHDOG_RR0 REG(0x40010600u)
#define WATCHDOG_RELOAD 0x6e524635u
#define POWER_RESETREAS REG(0x40000400u)
#define POWER_GPREGRET REG(0x4000051cu) /* survives a reset, not a power loss */
#define NVIC_ENABLE REG(0xe000e100u)
#define AIRCR REG(0xe000ed0cu)

enum pin { PIN_TX = 6, PIN_RX = 8, PIN_BUTTON = 11, PIN_LIGHT = 13, PIN_HAPTIC = 15, PIN_MUTE = 24 };
#define RING_BYTES 2048 /* a power of two */
#define MARK 0xa0       /* of GPREGRET: the low bits are the reason */

static struct {
    volatile uint8_t data[RING_BYTES];
    volatile uint16_t head, tail;
} ring;

static struct {
    uint64_t now_us;
    uint32_t last_us;
    uint64_t haptic_end_us;
    enum reset_reason reason;
    bool pressed, muted;
} chip;

void uart_interrupt(void);
void uart_interrupt(void) {
    while (UART_RXDRDY) {
        UART_RXDRDY = 0;
        uint8_t byte = (uint8_t)UART_RXD;
        uint16_t next = (ring.head + 1) & (RING_BYTES - 1);
        if (next != ring.tail) { /* else it is lost, the frame's CRC will not fit, and the host sends it again */
            ring.data[ring.head] = byte;
            ring.head = next;
        }
    }
}

static uint64_t now_us(void) {
    TIMER_CAPTURE0 = 1;
    uint32_t us = TIMER_CC0;
    chip.now_us += us - chip.last_us; /* it goes round in 71 minutes */
    chip.last_us = us;
    return chip.now_us;
}

static void random_bytes(uint8_t *out, size_t size) {
    for (size_t i = 0; i < size; i++) {
        RNG_VALRDY = 0;
        while (!RNG_VALRDY) {
        }
        out[i] = (uint8_t)RNG_VALUE;
    }
}

static enum reset_reason reset_reason(void) {
    return chip.reason;
}

static void reset(enum reset_reason reason) {
    POWER_GPREGRET = MARK | (uint32_t)reason;
    AIRCR = 0x05fa0004u;
    for (;;) {
    }
}

void fault(void);
void fault(void) {
    reset(RESET_FAULT);
}

/* RESETREAS: bit 0 pin, 1 watchdog, 2 software. No bit at all: the supply came up, or broke down and came back. */
static enum reset_reason read_reason(void) {
    uint32_t bits = POWER_RESETREAS, kept = POWER_GPREGRET;
    POWER_RESETREAS = bits;
    POWER_GPREGRET = MARK | RESET_BROWN_OUT; /* what a reset that nobody asks for will find */
    if (bits & 2)
        return RESET_WATCHDOG;
    if (bits & 4)
        return (kept & 0xf0) == MARK ? (enum reset_reason)(kept & 15) : RESET_SOFTWARE;
    if (bits & 1)
        return RESET_PIN;
    return (kept & 0xf0) == MARK ? RESET_BROWN_OUT : RESET_POWER_ON;
}

static void feed_watchdog(void) {
    WATCHDOG_RR0 = WATCHDOG_RELOAD;
}

static const char *pairing_code(void) {
    return NULL; /* the serial link is left open: whoever holds the wire holds the glasses */
}

static bool mic_read(int16_t *pcm) {
    (void)pcm;
    return false;
}

static void speaker_write(const uint8_t *pcm, size_t size) {
    (void)pcm;
    (void)size;
}

static bool capture(uint16_t width, uint16_t height, uint8_t quality, const uint8_t **jpeg, uint32_t *size) {
    (void)width;
    (void)height;
    (void)quality;
    (void)jpeg;
    (void)size;
    return false;
}

static void capture_light(bool on) {
    if (on)
        GPIO_OUTSET = 1u << PIN_LIGHT;
    else
        GPIO_OUTCLR = 1u << PIN_LIGHT;
}

static void haptic(uint16_t duration_ms, uint8_t strength) {
    if (strength == 0 || duration_ms == 0)
        return;
    chip.haptic_end_us = now_us() + duration_ms * 1000u;
    GPIO_OUTSET = 1u << PIN_HAPTIC;
}

static void battery(struct msg_battery *out) {
    memset(out, 0, sizeof *out); /* no CAP_BATTERY: nothing is measured yet */
}

static void imu(struct msg_imu *out) {
    memset(out, 0, sizeof *out);
}

static bool muted(void) {
    return !(GPIO_IN >> PIN_MUTE & 1); /* the switch pulls the pin down */
}

const struct board board = {
    .name = "nrf52840",
    .capabilities = CAP_BUTTON | CAP_HAPTIC | CAP_CAPTURE_LIGHT | CAP_MUTE_SWITCH,
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
};

static void chip_init(void) {
    const uint32_t input_pull_up = 3u << 2;
    chip.reason = read_reason();
    GPIO_PIN_CNF(PIN_BUTTON) = input_pull_up;
    GPIO_PIN_CNF(PIN_MUTE) = input_pull_up;
    GPIO_DIRSET = 1u << PIN_LIGHT | 1u << PIN_HAPTIC | 1u << PIN_TX;
    TIMER_BITMODE = 3;   /* 32 bits */
    TIMER_PRESCALER = 4; /* 16 MHz / 16: microseconds */
    TIMER_START = 1;
    RNG_CONFIG = 1;
    RNG_START = 1;
    UART_PSEL_TXD = PIN_TX;
    UART_PSEL_RXD = PIN_RX;
    UART_BAUDRATE = BAUD_1M;
    UART_ENABLE = 4;
    UART_INTENSET = 1u << 2; /* RXDRDY */
    UART_STARTRX = 1;
    UART_STARTTX = 1;
    NVIC_ENABLE = 1u << 2;
    WATCHDOG_CRV = 2 * 32768; /* two seconds */
    WATCHDOG_RREN = 1;
    WATCHDOG_START = 1;
}

static void poll_pins(void) {
    bool pressed = !(GPIO_IN >> PIN_BUTTON & 1);
    if (pressed != chip.pressed)
        app_button(0, chip.pressed = pressed);
    if (muted() != chip.muted) {
        chip.muted = muted();
        app_mute_changed();
    }
    if (now_us() >= chip.haptic_end_us)
        GPIO_OUTCLR = 1u << PIN_HAPTIC;
}

int main(void) {
    static uint8_t in[256], out[2 * MAX_WIRE];
    size_t used = 0, sent = 0;
    bool sending = false;
    chip_init();
    app_init();
    for (;;) {
        size_t size = 0;
        for (; size < sizeof in && ring.tail != ring.head; size++) {
            in[size] = ring.data[ring.tail];
            ring.tail = (ring.tail + 1) & (RING_BYTES - 1);
        }
        if (size > 0)
            app_input(in, size);
        poll_pins();
        app_poll();
        if (sent == used) {
            used = app_output(out, sizeof out);
            sent = 0;
        }
        if (sent < used && (!sending || UART_TXDRDY)) {
            UART_TXDRDY = 0;
            UART_TXD = out[sent++];
            sending = true;
        }
    }
}
