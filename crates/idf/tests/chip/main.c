/*
 * The whole interface used by a bare program, to show that the static library links for rv32imc with a C compiler that
 * is not Rust's, and what it takes. It is linked and measured (cargo xtask sizes), never run: flash is empty here.
 */
#include <string.h>

#include "rootcast.h"

#define FLASH_BYTES (4u << 20)

/* Where a panic of the library ends. ESP-IDF has its own, which prints a trace. */
void abort(void)
{
    for (;;) {}
}

static uint8_t memory[ROOTCAST_BYTES] __attribute__((aligned(8)));
static volatile uint64_t now_ms;
static volatile uint32_t heard;

static int flash_read(void *unused, uint32_t address, uint8_t *into, size_t length)
{
    (void)unused;
    if (address > FLASH_BYTES || length > FLASH_BYTES - address) return -1;
    memset(into, 0xFF, length);
    return 0;
}

static int flash_write(void *unused, uint32_t address, const uint8_t *bytes, size_t length)
{
    (void)unused, (void)bytes;
    return address <= FLASH_BYTES && length <= FLASH_BYTES - address ? 0 : -1;
}

static int flash_erase(void *unused, uint32_t address, size_t length)
{
    return flash_write(unused, address, NULL, length);
}

static uint32_t chance(void *unused)
{
    (void)unused;
    static uint32_t last = 1;
    return last = last * 1664525 + 1013904223;
}

static int32_t setting_load(void *unused, const char *key, uint8_t *into, size_t room)
{
    (void)unused, (void)key, (void)into, (void)room;
    return -1;
}

static int setting_store(void *unused, const char *key, const uint8_t *bytes, size_t length)
{
    (void)unused, (void)key, (void)bytes, (void)length;
    return 0;
}

static void show(void *unused, rootcast_colour_t colour) { (void)unused, heard += colour; }

static void send_frame(void *unused, rootcast_destination_t to, uint64_t node, const uint8_t *bytes, size_t length)
{
    (void)unused, (void)node, (void)bytes;
    heard += to + length;
}

static void subscribe(void *unused, const char *topic) { (void)unused, heard += strlen(topic); }

static void publish(void *unused, const char *topic, const uint8_t *payload, size_t length, int qos, bool retain)
{
    (void)unused, (void)topic, (void)payload, (void)qos, (void)retain;
    heard += length;
}

static void stream_open(void *unused, const char *host, uint16_t port, bool tls)
{
    (void)unused, (void)host, (void)tls;
    heard += port;
}

static void stream_send(void *unused, const uint8_t *bytes, size_t length) { (void)unused, (void)bytes, heard += length; }

static void nothing(void *unused) { (void)unused; }

int main(void)
{
    rootcast_platform_t platform = {
        .flash_bytes = FLASH_BYTES, .flash_read = flash_read, .flash_write = flash_write, .flash_erase = flash_erase,
        .random = chance, .setting_load = setting_load, .setting_store = setting_store, .show = show,
        .send_frame = send_frame, .subscribe = subscribe, .publish = publish, .stream_open = stream_open,
        .stream_send = stream_send, .stream_close = nothing, .restart = nothing,
    };
    rootcast_settings_t settings = {.id = 1, .chip = 5, .code_address = 0x10020, .is_root = true, .allow_unsigned = true};
    rootcast_t *node = NULL;
    if (rootcast_start(memory, sizeof memory, &platform, &settings, now_ms, &node) != ROOTCAST_OK) return 1;
    rootcast_mesh_t mesh = {.parent = 1, .started = true, .joined = true, .layer = 1};
    rootcast_mesh(node, now_ms, &mesh);
    rootcast_mqtt(node, now_ms, true);
    for (uint8_t bytes[64] = {0};;) {
        uint64_t due = 0;
        rootcast_run(node, now_ms, &due);
        rootcast_frame(node, now_ms, bytes, sizeof bytes);
        rootcast_mqtt_message(node, now_ms, "/switch/cmd/root", bytes, sizeof bytes);
        rootcast_stream_connected(node, now_ms);
        rootcast_stream_data(node, now_ms, bytes, sizeof bytes);
        rootcast_stream_closed(node, now_ms);
    }
}
