/* From reset to main, and the vector table; the same for boot loader and firmware. */
#include <stdint.h>
#include <string.h>

#include "board.h"
#include "memory.h"

extern uint32_t stack_top, data_load, data_start, data_end, bss_start, bss_end;
int main(void);
void uart_receive(void);

static void start(void) {
    memcpy(&data_start, &data_load, (size_t)((uint8_t *)&data_end - (uint8_t *)&data_start));
    memset(&bss_start, 0, (size_t)((uint8_t *)&bss_end - (uint8_t *)&bss_start));
    main();
    for (;;) {
    }
}

static void fault(void) {
    KEPT->reason = RESET_FAULT;
    SCB_AIRCR = AIRCR_RESET;
    for (;;) {
    }
}

/* The watchdog's first time-out comes as NMI; the second resets. There is nothing left to save here. */
static void watchdog_warning(void) {
}

/* A millisecond has passed: that is all, it wakes the main loop. */
static void tick(void) {
}

typedef void vector(void);
__attribute__((section(".vectors"), used)) static const struct {
    uint32_t *stack;
    vector *exceptions[15];
    vector *interrupts[32];
} vectors = {
    .stack = &stack_top,
    .exceptions = {start, watchdog_warning, fault, fault, fault, fault, 0, 0, 0, 0, fault, fault, 0, fault, tick},
    .interrupts = {uart_receive},
};
