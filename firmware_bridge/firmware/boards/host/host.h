/* What the driver of the board "host" calls; times are the driver's own clock. */
#ifndef HOST_H
#define HOST_H

#include <stddef.h>
#include <stdint.h>

void host_new(uint32_t seed, const char *code); /* a device from the factory; code NULL: an open link */
int host_boot(uint64_t at_us);                  /* boot loader and start; returns the slot, 255 with empty slots */
void host_power_on(void);                       /* the next start is not a reset */
int host_resets(void);                          /* resets since the last host_boot that are to be carried out */
void host_input(const uint8_t *data, size_t size, uint64_t at_us);
size_t host_output(uint8_t *out, size_t room, uint64_t at_us);
void host_watchdog(void); /* the watchdog's time is over: resets if the firmware hangs */
void host_photo(const uint8_t *jpeg, uint32_t size); /* what the camera sees; the memory stays the driver's */
void host_sound(const int16_t *pcm, uint32_t samples); /* what the microphone hears next; the memory stays the driver's */
uint32_t host_sound_left(void);
void host_heard_by(void (*listener)(const uint8_t *pcm, size_t size)); /* gets what the speaker is given; NULL: nobody */
int host_mic(const uint8_t *encoded, size_t size); /* 20 ms as an encoder would give them; 0: the last were not taken yet */
void host_flash(int number, const uint8_t *image, size_t size);
const uint8_t *host_slot(int number);
const uint8_t *host_hud(void);
int host_light(void);
void host_counters(uint32_t out[6]); /* damaged, forged, malformed, repeated, sessions, up */

#endif
