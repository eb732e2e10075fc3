/* Mutated frames against the firmware's link, under the address and undefined-behaviour sanitizers.
 *
 * The bodies are random ones, ones with a session's own numbers, and frames that a host really made, sealed where the
 * link is: those are held back, and only changed ones go out. An open link takes frames that a stranger may have made:
 * it must not crash, and must not take for intact what was changed. A sealed link must take nothing. Runs until `count`
 * frames were really changed, one to three changes each; half as many again go out untouched. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "link.h"
#include "protocol_hash.h"
#include "update.h"

static uint64_t state;
static uint8_t sent[MAX_BODY]; /* the body that was harmed */
static size_t sent_size;
static unsigned long delivered, corrupted, accepted, intact, harmed, genuines;
static bool sealed, whole, expected; /* whole: it can still be read; expected: a sealed link may take what comes */
static struct sealer host;

static uint32_t rnd(void) {
    state ^= state << 13; /* xorshift64 (Marsaglia, 2003) */
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(state >> 32);
}

static void random_bytes(uint8_t *out, size_t size) {
    for (size_t i = 0; i < size; i++)
        out[i] = (uint8_t)rnd();
}

static void on_message(void *context, uint8_t channel, const uint8_t *message, size_t size) {
    (void)context;
    (void)channel;
    delivered++;
    if (!sealed)
        return;
    for (size_t i = 1; i < size; i++)
        expected = expected && message[i] == message[0]; /* all that genuine() says is of that kind */
    corrupted += !expected; /* changed on the way, or of somebody without the key, or for the second time */
}

/* Whatever passes the CRC must be exactly what was sent. */
static void on_body(void *context, uint8_t *body, size_t size) {
    (void)context;
    whole = true;
    if (size != sent_size || memcmp(body, sent, size) != 0)
        corrupted++;
}

static size_t body_of(const struct link *link, uint8_t *body) {
    static const uint8_t kinds[] = {FRAME_HELLO, FRAME_NOISE1, FRAME_SEALED, FRAME_DATA, FRAME_ACK, FRAME_PING, FRAME_BYE};
    size_t size = 1 + rnd() % (rnd() % 4 ? 64 : MAX_BODY);
    random_bytes(body, size);
    body[0] = rnd() % 8 ? kinds[rnd() % sizeof kinds] : (uint8_t)rnd();
    if (size > 1 && rnd() % 4)
        body[1] = link->session;
    if (size > 2 && rnd() % 4)
        body[2] %= CHANNELS;
    if (body[0] == FRAME_BYE || body[0] == FRAME_HELLO)
        body[size - 1] ^= 1; /* seldom whole: a session that ends at once tests little */
    if (size > 5 && rnd() % 4) { /* the next one, or one of those after it */
        uint16_t seq = (uint16_t)(link->receive[body[2] % CHANNELS].next + rnd() % 2 * (rnd() % 4));
        memcpy(body + 4, &seq, sizeof seq);
    }
    return size;
}

/* What a host says in a session, sealed where the link is. */
static size_t genuine(const struct link *link, uint8_t *body) {
    static uint8_t plain[MAX_BODY];
    uint8_t channel = (uint8_t)(rnd() % CHANNELS);
    const struct send_channel *send = &link->send[channel];
    size_t size;
    genuines++;
    if (rnd() % 4) {
        struct frame_data data = {.kind = FRAME_DATA, .session = link->session, .channel = channel, .t_ms = (uint16_t)rnd()};
        data.seq = (uint16_t)(link->receive[channel].next + (rnd() % 2 ? 0 : rnd() % 4));
        size = 1 + rnd() % MAX_MESSAGE;
        memcpy(plain, &data, sizeof data);
        memset(plain + sizeof data, (int)(rnd() & 0xff), size);
        size += sizeof data;
    } else if (rnd() % 2) {
        struct frame_ack ack = {.kind = FRAME_ACK, .session = link->session, .channel = channel, .mask = rnd()};
        ack.next = (uint16_t)(send->base + rnd() % ((uint16_t)(send->next - send->base) + 1u));
        ack.limit = (uint16_t)(ack.next + MAX_WINDOW);
        size = sizeof ack;
        memcpy(plain, &ack, size);
    } else {
        struct frame_ping ping = {.kind = FRAME_PING, .session = link->session, .t1_us = rnd()};
        size = sizeof ping;
        memcpy(plain, &ping, size);
    }
    memcpy(sealed ? body + SEAL_HEAD : body, plain, size);
    return sealed ? secure_seal(&host, link->session, body, size) : size;
}

static size_t harm(uint8_t *wire, size_t size) {
    for (uint32_t count = 1 + rnd() % 3; count > 0; count--) {
        size_t at = rnd() % size;
        switch (rnd() % 4) {
        case 0: wire[at] ^= (uint8_t)(1 << rnd() % 8); break;
        case 1: wire[at] = (uint8_t)rnd(); break;
        case 2: memmove(wire + at, wire + at + 1, size - at - 1); size -= size > 2; break;
        default: memmove(wire + at + 1, wire + at, size - at); wire[at] = (uint8_t)rnd(); size++; break;
        }
    }
    return size;
}

static void greet(struct link *link, uint64_t now_us) {
    static const uint8_t hash[HASH_BYTES] = PROTOCOL_HASH;
    struct frame_hello hello = {.kind = FRAME_HELLO, .version = PROTOCOL_VERSION, .session = 7, .magic = PROTOCOL_MAGIC};
    uint8_t wire[MAX_WIRE];
    hello.flags = sealed ? HELLO_SEALED : 0;
    memcpy(hello.hash, hash, sizeof hash);
    random_bytes(hello.nonce, sizeof hello.nonce);
    link_input(link, (const uint8_t *)"", 1, now_us); /* ends what was under way */
    link_input(link, wire, frame_encode((const uint8_t *)&hello, sizeof hello, wire), now_us);
    if (sealed && !link->up) { /* as after a key exchange, which the host's tests have */
        memset(&link->sealer, 0, sizeof link->sealer);
        memset(&host, 0, sizeof host);
        random_bytes(host.send_key, sizeof host.send_key);
        memcpy(link->sealer.receive_key, host.send_key, sizeof host.send_key);
        link->session = 7;
        link->heard_us = now_us;
        link->up = link->met = true;
    }
}

static void fuzz_link(unsigned long count, const uint8_t *key) {
    static struct link link;
    static struct frame_decoder decoder;
    static uint8_t body[MAX_BODY], wire[2 * MAX_WIRE], out[8 * MAX_WIRE];
    struct link_config config = {.key = key, .random = random_bytes, .message = on_message};
    sealed = key != NULL;
    link_init(&link, &config);
    memset(&decoder, 0, sizeof decoder);
    for (unsigned long i = 0, changed = 0; changed < count; i++) {
        uint64_t now_us = i * 100;
        if (!link.up || i % 100 == 0)
            greet(&link, now_us);
        bool real = rnd() % 2;
        size_t size = sent_size = real ? genuine(&link, body) : body_of(&link, body);
        memcpy(sent, body, size);
        size = frame_encode(body, size, wire);
        bool to_harm = rnd() % 3;
        if (to_harm)
            size = harm(wire, size);
        whole = false;
        wire[size++] = 0; /* a frame whose end was taken away ends with the next one's beginning */
        frame_decode(&decoder, (const uint8_t *)"", 1, on_body, NULL);
        frame_decode(&decoder, wire, size, on_body, NULL);
        if (to_harm && whole)
            continue; /* only a pause was added, or a byte was given its own value */
        changed += to_harm;
        accepted += whole;
        intact += !to_harm;
        expected = real && !to_harm;
        size_t cut = rnd() % (size + 1);
        link_input(&link, (const uint8_t *)"", 1, now_us);
        link_input(&link, wire, cut, now_us);
        link_input(&link, wire + cut, size - cut, now_us);
        expected = false;
        if (sealed && i % 16 == 0)
            link_input(&link, wire, size, now_us); /* a replay */
        if (i % 8 == 0) {
            uint8_t channel = (uint8_t)(rnd() % CHANNELS);
            if (link_room(&link, channel) > LINK_SLOTS / 2) /* nobody acknowledges, and a full link takes nothing in */
                link_send(&link, channel, body, 1 + rnd() % 100);
            link_output(&link, out, sizeof out, now_us);
        }
    }
    harmed += count;
}

static void fuzz_update(unsigned long count) {
    static uint8_t request[640], response[MAX_MESSAGE - 1];
    static const char *const keys[] = {"off", "data", "len", "hash", "confirm", "image", "d"};
    for (unsigned long i = 0; i < count; i++) {
        size_t size = 8 + 1;
        random_bytes(request, sizeof request);
        request[0] = (uint8_t)(rnd() % 2 ? 2 : 0);
        request[4] = 0;
        request[5] = rnd() % 2;
        request[7] = rnd() % 8;
        request[8] = rnd() % 8 ? 0xbf : (uint8_t)rnd();
        for (uint32_t n = rnd() % 6; n > 0; n--) {
            const char *key = keys[rnd() % 7];
            request[size++] = (uint8_t)(0x60 + strlen(key));
            memcpy(request + size, key, strlen(key));
            size += strlen(key);
            request[size++] = (uint8_t)(rnd() % 4 ? 0x40 + rnd() % 0x20 : rnd());
            size += rnd() % 40;
        }
        request[size++] = 0xff;
        request[2] = (uint8_t)((size - 8) >> 8);
        request[3] = (uint8_t)(size - 8);
        uint8_t *tight = malloc(size); /* so that a read past its end is seen */
        memcpy(tight, request, size);
        size_t used = update_request(tight, rnd() % 16 ? size : rnd() % (size + 1), response, sizeof response);
        corrupted += used > sizeof response;
        free(tight);
    }
}

int main(int argc, char **argv) {
    unsigned long count = argc > 1 ? strtoul(argv[1], NULL, 10) : 100000;
    uint8_t key[KEY_BYTES] = {1, 2, 3};
    clock_t since = clock();
    state = argc > 2 ? strtoull(argv[2], NULL, 10) * 2654435761u + 1 : 88172645463325252u;
    fuzz_link(count / 2, NULL);
    fuzz_link(count / 2, key);
    fuzz_update(count / 100);
    printf("{\"side\": \"C\", \"harmed\": %lu, \"intact\": %lu, \"genuine\": %lu, \"passed_crc\": %lu, \"messages\": %lu, "
           "\"update_requests\": %lu, \"accepted_corruption\": %lu, \"cpu_s\": %.1f}\n",
           harmed, intact, genuines, accepted, delivered, count / 100, corrupted, (double)(clock() - since) / CLOCKS_PER_SEC);
    return corrupted != 0;
}
