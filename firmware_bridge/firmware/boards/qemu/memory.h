/* mps2-an385 as QEMU has it (Arm application note AN385): what lies where, and the registers that are used. */
#ifndef MEMORY_H
#define MEMORY_H

#include <stdint.h>

#include "boot.h"

#define APP_BASE 0x00100000u /* where the boot loader copies the chosen slot's body, and starts it */
#define SLOT_BYTES 0x00100000u
#define SLOT_BASE(slot) (0x21000000u + (uint32_t)(slot) * SLOT_BYTES) /* PSRAM plays the flash: a reset leaves it alone */
#define FACTORY_IMAGE 0x21800000u
#define FACTORY ((const volatile struct factory *)0x21e00000u)
#define KEPT ((volatile struct kept *)0x21f00000u)

/* What the test puts there before power-on (-device loader). */
struct factory {
    uint32_t seed[4];
    char pairing_code[28]; /* empty: an open link */
};

#define KEPT_MAGIC 0x4b455054

/* What a reset leaves. */
struct kept {
    struct boot_record boot[2];
    uint32_t magic;  /* KEPT_MAGIC after the first start */
    uint32_t reason; /* of the reset that is about to come; RESET_WATCHDOG while nobody has asked for one */
};

#define REG(address) (*(volatile uint32_t *)(address))
#define UART_DATA REG(0x40004000u)
#define UART_STATE REG(0x40004004u) /* bit 0: transmit full, bit 1: receive full */
#define UART_CTRL REG(0x40004008u)
#define UART_INTCLEAR REG(0x4000400cu)
#define UART_BAUDDIV REG(0x40004010u)
#define TIMER_CTRL REG(0x40000000u) /* counts down at 25 MHz */
#define TIMER_VALUE REG(0x40000004u)
#define TIMER_RELOAD REG(0x40000008u)
#define WATCHDOG_LOAD REG(0x40008000u)
#define WATCHDOG_CTRL REG(0x40008008u)
#define WATCHDOG_INTCLEAR REG(0x4000800cu)
#define WATCHDOG_LOCK REG(0x40008c00u)
#define CLOCK_MHZ 25u
#define SYSTICK_CTRL REG(0xe000e010u)
#define SYSTICK_LOAD REG(0xe000e014u)
#define NVIC_ENABLE REG(0xe000e100u)
#define SCB_VTOR REG(0xe000ed08u)
#define SCB_AIRCR REG(0xe000ed0cu)
#define AIRCR_RESET 0x05fa0004u

#endif
