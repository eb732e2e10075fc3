/* The boot loader of the emulated board: chooses a slot, copies it to where it runs, starts it. */
#include <string.h>

#include "board.h"
#include "boot.h"
#include "flash.h"

const struct board board = {
    .name = "qemu-boot",
    .slot_size = SLOT_BYTES,
    .slot = flash_slot,
    .boot = (const struct boot_record *)KEPT,
    .boot_write = flash_boot_write,
};

void uart_receive(void);
void uart_receive(void) {
}

static void first_start(void) {
    KEPT->magic = KEPT_MAGIC;
    KEPT->reason = RESET_POWER_ON;
    flash_erase(0);
    flash_erase(1);
    memcpy((void *)SLOT_BASE(0), (const void *)FACTORY_IMAGE, SLOT_BYTES);
}

int main(void) {
    struct image image;
    if (KEPT->magic != KEPT_MAGIC)
        first_start();
    uint8_t slot = boot_choose(&image);
    if (slot == NO_SLOT)
        return 1;
    memcpy((void *)APP_BASE, (const uint8_t *)SLOT_BASE(slot) + IMAGE_HEADER_BYTES, image.header.body_size);
    const uint32_t *vectors = (const uint32_t *)APP_BASE;
    SCB_VTOR = APP_BASE;
    __asm__ volatile("dsb\n isb\n msr msp, %0\n bx %1" ::"r"(vectors[0]), "r"(vectors[1]));
    return 0;
}
