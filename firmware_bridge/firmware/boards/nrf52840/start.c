/* From reset to main, and the vector table. */
#include <stdint.h>
#include <string.h>

extern uint32_t stack_top, data_load, data_start, data_end, bss_start, bss_end;
int main(void);
void uart_interrupt(void);
void fault(void);

static void start(void) {
    memcpy(&data_start, &data_load, (size_t)((uint8_t *)&data_end - (uint8_t *)&data_start));
    memset(&bss_start, 0, (size_t)((uint8_t *)&bss_end - (uint8_t *)&bss_start));
    main();
    for (;;) {
    }
}

typedef void vector(void);
__attribute__((section(".vectors"), used)) static const struct {
    uint32_t *stack;
    vector *exceptions[15];
    vector *interrupts[48];
} vectors = {
    .stack = &stack_top,
    .exceptions = {start, fault, fault, fault, fault, fault, 0, 0, 0, 0, fault, fault, 0, fault, fault},
    .interrupts = {[2] = uart_interrupt}, /* UART0, Nordic's "UARTE0_UART0" */
};
