/* Keys and sealed frames: Noise_NNpsk0_25519_ChaChaPoly_BLAKE2b, the device's side, over Monocypher. */
#ifndef SECURE_H
#define SECURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol.h"

#define CODE_SIGNS 20
#define CODE_CHARS 25 /* five groups of four signs, and a zero byte */
#define SEAL_HEAD (sizeof(struct frame_sealed))

struct sealer {
    uint8_t send_key[KEY_BYTES];
    uint8_t receive_key[KEY_BYTES];
    uint32_t counter; /* the next one to seal with */
    uint32_t newest;  /* the highest one accepted */
    uint64_t seen;    /* bit i: newest - i was accepted */
};

/* The signs of a pairing code from 20 random bytes; code gets CODE_CHARS bytes. */
void secure_new_code(const uint8_t random[CODE_SIGNS], char *code);

/* The link's key of a pairing code, as security.key_of on the host. */
void secure_key(const char *code, uint8_t key[KEY_BYTES]);

/* Answers a key exchange. False, and nothing written, if the first message is not of somebody with the key. */
bool secure_respond(const uint8_t key[KEY_BYTES], const uint8_t *prologue, size_t prologue_size,
                    const uint8_t secret[KEY_BYTES], const struct frame_noise *first, struct frame_noise *second,
                    struct sealer *sealer);

/* Seals size bytes at frame + SEAL_HEAD in place; returns the size of the whole frame, 0 when counters are used up. */
size_t secure_seal(struct sealer *sealer, uint8_t session, uint8_t *frame, size_t size);

/* Opens a sealed frame in place; the body is at frame + SEAL_HEAD. Returns its size, 0 if forged or seen before. */
size_t secure_open(struct sealer *sealer, uint8_t *frame, size_t size);

#endif
