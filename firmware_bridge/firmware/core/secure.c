#include "secure.h"

#include <string.h>

#include "monocypher.h"

#define HASH 64
#define BLOCK 128
#define REPLAY_BITS 64

static const char NAME[] = "Noise_NNpsk0_25519_ChaChaPoly_BLAKE2b";
static const char SIGNS[] = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ";

struct noise {
    uint8_t hash[HASH];
    uint8_t chain[HASH];
    uint8_t key[KEY_BYTES];
};

static void hmac(uint8_t out[HASH], const uint8_t key[HASH], const uint8_t *a, size_t a_size, const uint8_t *b, size_t b_size) {
    crypto_blake2b_ctx context;
    uint8_t pad[BLOCK];
    for (int outer = 0; outer < 2; outer++) {
        memset(pad, outer ? 0x5c : 0x36, BLOCK);
        for (int i = 0; i < HASH; i++)
            pad[i] ^= key[i];
        crypto_blake2b_init(&context, HASH);
        crypto_blake2b_update(&context, pad, BLOCK);
        if (outer) {
            crypto_blake2b_update(&context, out, HASH);
        } else {
            crypto_blake2b_update(&context, a, a_size);
            crypto_blake2b_update(&context, b, b_size);
        }
        crypto_blake2b_final(&context, out);
    }
    crypto_wipe(pad, sizeof pad);
}

/* Noise, section 4.3: up to three outputs; the first is the new chaining key. */
static void hkdf(uint8_t chain[HASH], const uint8_t *data, size_t size, uint8_t *second, uint8_t *third) {
    uint8_t secret[HASH], counter = 1;
    hmac(secret, chain, data, size, NULL, 0);
    hmac(chain, secret, &counter, 1, NULL, 0);
    counter = 2;
    hmac(second, secret, chain, HASH, &counter, 1);
    counter = 3;
    if (third != NULL)
        hmac(third, secret, second, HASH, &counter, 1);
    crypto_wipe(secret, sizeof secret);
}

static void mix_hash(struct noise *n, const uint8_t *data, size_t size) {
    crypto_blake2b_ctx context;
    crypto_blake2b_init(&context, HASH);
    crypto_blake2b_update(&context, n->hash, HASH);
    crypto_blake2b_update(&context, data, size);
    crypto_blake2b_final(&context, n->hash);
}

static void mix_key(struct noise *n, const uint8_t *data, size_t size) {
    uint8_t second[HASH];
    hkdf(n->chain, data, size, second, NULL);
    memcpy(n->key, second, KEY_BYTES);
    crypto_wipe(second, sizeof second);
}

static void aead_init(crypto_aead_ctx *context, const uint8_t key[KEY_BYTES], uint32_t counter) {
    uint8_t nonce[12] = {0};
    memcpy(nonce + 4, &counter, sizeof counter);
    crypto_aead_init_ietf(context, key, nonce);
}

void secure_new_code(const uint8_t random[CODE_SIGNS], char *code) {
    for (int i = 0; i < CODE_SIGNS; i++) {
        *code++ = SIGNS[random[i] % 32];
        if (i % 4 == 3)
            *code++ = i == CODE_SIGNS - 1 ? '\0' : '-';
    }
}

void secure_key(const char *code, uint8_t key[KEY_BYTES]) {
    /* BLAKE2b-256 with the person field "glasses-link-psk"; Monocypher has no personalisation, so the parameter block
     * is mixed in by hand: words 6 and 7 of the initial state (RFC 7693 leaves them to be the parameter block's). */
    crypto_blake2b_ctx context;
    uint64_t person[2];
    memcpy(person, "glasses-link-psk", sizeof person);
    crypto_blake2b_init(&context, KEY_BYTES);
    context.hash[6] ^= person[0];
    context.hash[7] ^= person[1];
    for (; *code != '\0'; code++)
        if (*code != '-')
            crypto_blake2b_update(&context, (const uint8_t *)code, 1);
    crypto_blake2b_final(&context, key);
}

static bool is_zero(const uint8_t data[KEY_BYTES]) {
    uint8_t any = 0;
    for (int i = 0; i < KEY_BYTES; i++)
        any |= data[i];
    return any == 0;
}

static bool read_first(struct noise *n, const uint8_t key[KEY_BYTES], const uint8_t *prologue, size_t prologue_size,
                       const struct frame_noise *first) {
    uint8_t to_hash[HASH], third[HASH];
    crypto_aead_ctx aead;
    memset(n, 0, sizeof *n);
    memcpy(n->hash, NAME, sizeof NAME - 1);
    memcpy(n->chain, n->hash, HASH);
    mix_hash(n, prologue, prologue_size);
    hkdf(n->chain, key, KEY_BYTES, to_hash, third);
    mix_hash(n, to_hash, HASH);
    mix_hash(n, first->ephemeral, KEY_BYTES);
    mix_key(n, first->ephemeral, KEY_BYTES);
    crypto_wipe(third, sizeof third);
    aead_init(&aead, n->key, 0);
    if (crypto_aead_read(&aead, NULL, first->tag, n->hash, HASH, NULL, 0) != 0)
        return false;
    mix_hash(n, first->tag, TAG_BYTES);
    return true;
}

bool secure_respond(const uint8_t key[KEY_BYTES], const uint8_t *prologue, size_t prologue_size,
                    const uint8_t secret[KEY_BYTES], const struct frame_noise *first, struct frame_noise *second,
                    struct sealer *sealer) {
    struct noise n;
    uint8_t shared[KEY_BYTES], theirs[HASH];
    crypto_aead_ctx aead;
    if (!read_first(&n, key, prologue, prologue_size, first))
        return false;
    crypto_x25519(shared, secret, first->ephemeral);
    if (is_zero(shared))
        return false;
    second->kind = FRAME_NOISE2;
    second->session = first->session;
    crypto_x25519_public_key(second->ephemeral, secret);
    mix_hash(&n, second->ephemeral, KEY_BYTES);
    mix_key(&n, second->ephemeral, KEY_BYTES);
    mix_key(&n, shared, KEY_BYTES);
    aead_init(&aead, n.key, 0);
    crypto_aead_write(&aead, NULL, second->tag, n.hash, HASH, NULL, 0);
    hkdf(n.chain, NULL, 0, theirs, NULL);
    memset(sealer, 0, sizeof *sealer);
    memcpy(sealer->receive_key, n.chain, KEY_BYTES); /* the initiator's first */
    memcpy(sealer->send_key, theirs, KEY_BYTES);
    crypto_wipe(&n, sizeof n);
    crypto_wipe(shared, sizeof shared);
    crypto_wipe(theirs, sizeof theirs);
    return true;
}

size_t secure_seal(struct sealer *sealer, uint8_t session, uint8_t *frame, size_t size) {
    struct frame_sealed head = {.kind = FRAME_SEALED, .session = session, .counter = sealer->counter};
    crypto_aead_ctx aead;
    if (sealer->counter == UINT32_MAX)
        return 0;
    memcpy(frame, &head, sizeof head);
    aead_init(&aead, sealer->send_key, sealer->counter++);
    crypto_aead_write(&aead, frame + SEAL_HEAD, frame + SEAL_HEAD + size, frame, SEAL_HEAD, frame + SEAL_HEAD, size);
    return SEAL_HEAD + size + TAG_BYTES;
}

static bool is_new(const struct sealer *sealer, uint32_t counter) {
    uint32_t behind = sealer->newest - counter;
    if (counter > sealer->newest || sealer->seen == 0)
        return true;
    return behind < REPLAY_BITS && !(sealer->seen >> behind & 1);
}

static void mark(struct sealer *sealer, uint32_t counter) {
    if (counter > sealer->newest || sealer->seen == 0) {
        uint32_t ahead = counter - sealer->newest;
        sealer->seen = (ahead < REPLAY_BITS ? sealer->seen << ahead : 0) | 1;
        sealer->newest = counter;
    } else {
        sealer->seen |= (uint64_t)1 << (sealer->newest - counter);
    }
}

size_t secure_open(struct sealer *sealer, uint8_t *frame, size_t size) {
    struct frame_sealed head;
    crypto_aead_ctx aead;
    if (size <= SEAL_HEAD + TAG_BYTES)
        return 0;
    memcpy(&head, frame, sizeof head);
    size -= SEAL_HEAD + TAG_BYTES;
    if (!is_new(sealer, head.counter))
        return 0;
    aead_init(&aead, sealer->receive_key, head.counter);
    uint8_t *text = frame + SEAL_HEAD;
    if (crypto_aead_read(&aead, text, text + size, frame, SEAL_HEAD, text, size) != 0)
        return 0;
    mark(sealer, head.counter);
    return size;
}
