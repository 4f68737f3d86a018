/* See rootcast_esp.h. One task owns the node; what happens elsewhere comes to it through a queue. */
#include "rootcast_esp.h"

#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <time.h>

#include "esp_app_format.h"
#include "esp_crt_bundle.h"
#include "esp_flash.h"
#include "esp_log.h"
#include "esp_mac.h"
#include "esp_ota_ops.h"
#include "esp_partition.h"
#include "esp_random.h"
#include "esp_system.h"
#include "esp_timer.h"
#include "esp_tls.h"
#include "freertos/FreeRTOS.h"
#include "freertos/queue.h"
#include "freertos/task.h"
#include "mqtt_client.h"
#include "nvs.h"

static const char *TAG = "rootcast";

enum {
    QUEUE_LENGTH = 32,      /* frames and messages that may wait; one that finds it full is dropped */
    STREAM_BYTES = 1024,    /* taken from the connection at once */
    STREAM_NAP_MS = 10,     /* how long the task looks at the connection before it looks at the queue again */
    LONGEST_NAP_MS = 1000,
    CONNECT_MS = 15000,
    FAREWELL_MS = 2000,     /* a restart waits so long for the broker to acknowledge the last reports */
    MESSAGE_BYTES = 8192,   /* longest trigger that a root takes */
    STACK_BYTES = 12288,
    EARLIEST_TIME = 1600000000, /* a clock before 2020 was never set */
};

typedef enum { FRAME, MESSAGE, MESH, HEALTH, BROKER } kind_t;

typedef struct {
    kind_t kind;
    char *topic;     /* MESSAGE; owned */
    uint8_t *bytes;  /* FRAME, MESSAGE; owned */
    size_t length;
    rootcast_mesh_t mesh;
    bool yes;        /* HEALTH, BROKER */
} event_t;

static rootcast_esp_config_t config;
static rootcast_t *node;
static uint8_t memory[ROOTCAST_BYTES] __attribute__((aligned(8)));
static QueueHandle_t events;
static esp_mqtt_client_handle_t broker;
static esp_tls_t *stream;
static uint16_t stream_failure; /* told after the callback has returned */
static bool stream_opened;

static uint64_t now_ms(void) { return (uint64_t)esp_timer_get_time() / 1000; }

/* ----- flash: reads anywhere, writes only into otadata and the OTA slots that do not run ----- */

static bool may_change(uint32_t address, size_t length)
{
    const esp_partition_t *running = esp_ota_get_running_partition();
    esp_partition_iterator_t it = esp_partition_find(ESP_PARTITION_TYPE_ANY, ESP_PARTITION_SUBTYPE_ANY, NULL);
    bool may = false;
    for (; it != NULL && !may; it = esp_partition_next(it)) {
        const esp_partition_t *part = esp_partition_get(it);
        bool inside = address >= part->address && address + length <= part->address + part->size;
        bool otadata = part->type == ESP_PARTITION_TYPE_DATA && part->subtype == ESP_PARTITION_SUBTYPE_DATA_OTA;
        bool slot = part->type == ESP_PARTITION_TYPE_APP && part->subtype >= ESP_PARTITION_SUBTYPE_APP_OTA_MIN &&
                    part->subtype < ESP_PARTITION_SUBTYPE_APP_OTA_MAX;
        may = inside && (otadata || (slot && part->address != running->address));
    }
    esp_partition_iterator_release(it);
    return may;
}

static int flash_read(void *unused, uint32_t address, uint8_t *into, size_t length)
{
    (void)unused;
    return esp_flash_read(NULL, into, address, length);
}

static int flash_write(void *unused, uint32_t address, const uint8_t *bytes, size_t length)
{
    (void)unused;
    return may_change(address, length) ? esp_flash_write(NULL, bytes, address, length) : ESP_ERR_NOT_ALLOWED;
}

static int flash_erase(void *unused, uint32_t address, size_t length)
{
    (void)unused;
    return may_change(address, length) ? esp_flash_erase_region(NULL, address, length) : ESP_ERR_NOT_ALLOWED;
}

/* ----- chance and settings ----- */

static uint32_t chance(void *unused)
{
    (void)unused;
    return esp_random();
}

static int32_t setting_load(void *unused, const char *key, uint8_t *into, size_t room)
{
    (void)unused;
    nvs_handle_t nvs;
    if (nvs_open("rootcast", NVS_READONLY, &nvs) != ESP_OK) return -1;
    size_t length = room;
    esp_err_t error = nvs_get_blob(nvs, key, into, &length);
    nvs_close(nvs);
    return error == ESP_OK ? (int32_t)length : -1;
}

static int setting_store(void *unused, const char *key, const uint8_t *bytes, size_t length)
{
    (void)unused;
    nvs_handle_t nvs;
    esp_err_t error = nvs_open("rootcast", NVS_READWRITE, &nvs);
    if (error != ESP_OK) return error;
    error = nvs_set_blob(nvs, key, bytes, length);
    if (error == ESP_OK) error = nvs_commit(nvs);
    nvs_close(nvs);
    return error;
}

/* ----- light and mesh ----- */

static void show(void *unused, rootcast_colour_t colour)
{
    (void)unused;
    config.show(colour);
}

static void send_frame(void *unused, rootcast_destination_t to, uint64_t id, const uint8_t *bytes, size_t length)
{
    (void)unused;
    config.send_frame(to, id, bytes, length);
}

/* ----- broker ----- */

static bool post(event_t event)
{
    if (events != NULL && xQueueSend(events, &event, 0) == pdTRUE) return true;
    free(event.topic);
    free(event.bytes);
    return false;
}

static void on_mqtt(void *unused, esp_event_base_t base, int32_t id, void *data)
{
    (void)unused;
    (void)base;
    esp_mqtt_event_handle_t event = data;
    if (id == MQTT_EVENT_CONNECTED) post((event_t){.kind = BROKER, .yes = true});
    if (id == MQTT_EVENT_DISCONNECTED) post((event_t){.kind = BROKER, .yes = false});
    /* A message that comes in pieces is longer than a root takes. */
    if (id != MQTT_EVENT_DATA || event->total_data_len != event->data_len) return;
    char *topic = calloc(1, (size_t)event->topic_len + 1);
    uint8_t *bytes = malloc((size_t)event->data_len + 1);
    if (topic == NULL || bytes == NULL) {
        free(topic);
        free(bytes);
        return;
    }
    memcpy(topic, event->topic, (size_t)event->topic_len);
    memcpy(bytes, event->data, (size_t)event->data_len);
    post((event_t){.kind = MESSAGE, .topic = topic, .bytes = bytes, .length = (size_t)event->data_len});
}

esp_err_t rootcast_esp_network_up(void)
{
    if (!config.is_root || config.broker_uri == NULL || broker != NULL) return ESP_OK;
    esp_mqtt_client_config_t mqtt = {
        .broker.address.uri = config.broker_uri,
        .broker.verification.certificate = config.ca_pem,
        .broker.verification.crt_bundle_attach = config.ca_pem == NULL ? esp_crt_bundle_attach : NULL,
        .credentials.username = config.broker_user,
        .credentials.authentication.password = config.broker_password,
        .buffer.size = MESSAGE_BYTES,
    };
    broker = esp_mqtt_client_init(&mqtt);
    if (broker == NULL) return ESP_ERR_INVALID_ARG;
    esp_mqtt_client_register_event(broker, ESP_EVENT_ANY_ID, on_mqtt, NULL);
    return esp_mqtt_client_start(broker);
}

static void subscribe(void *unused, const char *topic)
{
    (void)unused;
    if (broker != NULL) esp_mqtt_client_subscribe(broker, topic, 1);
}

static void publish(void *unused, const char *topic, const uint8_t *payload, size_t length, int qos, bool retain)
{
    (void)unused;
    if (broker != NULL) esp_mqtt_client_enqueue(broker, topic, (const char *)payload, (int)length, qos, retain, true);
}

/* ----- connection to the server ----- */

static void stream_close(void *unused)
{
    (void)unused;
    if (stream != NULL) esp_tls_conn_destroy(stream);
    stream = NULL;
}

/* What the failure was, as a number of Rootcast's (rootcast_stream_failed). */
static uint16_t failure_of(esp_tls_t *failed, bool tls)
{
    esp_tls_error_handle_t error;
    int code = 0, flags = 0;
    if (esp_tls_get_error_handle(failed, &error) != ESP_OK) return 21;
    esp_err_t first = esp_tls_get_and_clear_last_error(error, &code, &flags);
    if (flags & 0x0001) return 41; /* MBEDTLS_X509_BADCERT_EXPIRED */
    if (flags & 0x0200) return 42; /* MBEDTLS_X509_BADCERT_FUTURE */
    if (flags & 0x0008) return 45; /* MBEDTLS_X509_BADCERT_NOT_TRUSTED */
    if (flags & 0x0004) return 43; /* MBEDTLS_X509_BADCERT_CN_MISMATCH */
    if (flags != 0) return 47;
    if (first == ESP_ERR_ESP_TLS_CANNOT_RESOLVE_HOSTNAME) return 20;
    if (first == ESP_ERR_ESP_TLS_FAILED_CONNECT_TO_HOST || first == ESP_ERR_ESP_TLS_CONNECTION_TIMEOUT) return 21;
    return tls ? 40 : 21;
}

static void stream_open(void *unused, const char *host, uint16_t port, bool tls)
{
    stream_close(unused);
    esp_tls_cfg_t how = {.timeout_ms = CONNECT_MS, .is_plain_tcp = !tls};
    if (config.ca_pem != NULL) {
        how.cacert_buf = (const unsigned char *)config.ca_pem;
        how.cacert_bytes = (unsigned)strlen(config.ca_pem) + 1;
    } else {
        how.crt_bundle_attach = esp_crt_bundle_attach;
    }
    stream_failure = 0;
    stream_opened = false;
    if (tls && time(NULL) < EARLIEST_TIME) {
        stream_failure = 49; /* without a clock, no certificate can be judged */
        return;
    }
    stream = esp_tls_init();
    if (stream == NULL) {
        stream_failure = 21;
        return;
    }
    stream_opened = esp_tls_conn_new_sync(host, (int)strlen(host), port, &how, stream) == 1;
    if (!stream_opened) {
        stream_failure = failure_of(stream, tls);
        ESP_LOGW(TAG, "no connection to %s:%u (%u)", host, (unsigned)port, (unsigned)stream_failure);
        stream_close(unused);
    }
}

static void stream_send(void *unused, const uint8_t *bytes, size_t length)
{
    while (stream != NULL && length > 0) {
        ssize_t sent = esp_tls_conn_write(stream, bytes, length);
        if (sent <= 0) {
            stream_close(unused);
            stream_failure = 22;
            return;
        }
        bytes += sent;
        length -= (size_t)sent;
    }
}

/* Tells what has become of the connection; true if something was told. */
static bool tell_of_stream(void)
{
    if (stream_failure != 0) {
        uint16_t code = stream_failure;
        stream_failure = 0;
        rootcast_stream_failed(node, now_ms(), code);
        return true;
    }
    if (stream_opened) {
        stream_opened = false;
        rootcast_stream_connected(node, now_ms());
        return true;
    }
    int socket = -1;
    if (stream == NULL || esp_tls_get_conn_sockfd(stream, &socket) != ESP_OK) return false;
    if (esp_tls_get_bytes_avail(stream) <= 0) {
        fd_set readable;
        FD_ZERO(&readable);
        FD_SET(socket, &readable);
        struct timeval nap = {.tv_usec = STREAM_NAP_MS * 1000};
        if (select(socket + 1, &readable, NULL, NULL, &nap) <= 0) return false;
    }
    static uint8_t bytes[STREAM_BYTES];
    ssize_t got = esp_tls_conn_read(stream, bytes, sizeof bytes);
    if (got == ESP_TLS_ERR_SSL_WANT_READ || got == ESP_TLS_ERR_SSL_WANT_WRITE) return false;
    if (got > 0) {
        rootcast_stream_data(node, now_ms(), bytes, (size_t)got);
    } else {
        stream_close(NULL);
        if (got == 0) rootcast_stream_closed(node, now_ms());
        else rootcast_stream_failed(node, now_ms(), 22);
    }
    return true;
}

/* ----- restart ----- */

static void restart(void *unused)
{
    stream_close(unused);
    for (int waited = 0; broker != NULL && esp_mqtt_client_get_outbox_size(broker) > 0 && waited < FAREWELL_MS; waited += 20)
        vTaskDelay(pdMS_TO_TICKS(20));
    ESP_LOGI(TAG, "restart");
    esp_restart();
}

/* ----- the task ----- */

static void tell(event_t *event)
{
    uint64_t now = now_ms();
    switch (event->kind) {
    case FRAME: rootcast_frame(node, now, event->bytes, event->length); break;
    case MESSAGE: rootcast_mqtt_message(node, now, event->topic, event->bytes, event->length); break;
    case MESH: rootcast_mesh(node, now, &event->mesh); break;
    case HEALTH: rootcast_health(node, now, event->yes); break;
    case BROKER: rootcast_mqtt(node, now, event->yes); break;
    }
    free(event->topic);
    free(event->bytes);
}

static void updater(void *unused)
{
    (void)unused;
    time_t told = 0;
    for (;;) {
        time_t time_of_day = time(NULL);
        if (time_of_day > EARLIEST_TIME && time_of_day - told > 60) {
            told = time_of_day;
            rootcast_wall_clock(node, now_ms(), (uint64_t)time_of_day);
        }
        uint64_t due = 0, now = now_ms();
        rootcast_run(node, now, &due);
        bool told_something = tell_of_stream();
        uint64_t nap = due > now ? due - now : 0;
        if (nap > LONGEST_NAP_MS) nap = LONGEST_NAP_MS;
        if (told_something || stream != NULL) nap = 0;
        event_t event;
        if (xQueueReceive(events, &event, pdMS_TO_TICKS(nap)) == pdTRUE) tell(&event);
    }
}

bool rootcast_esp_frame(const uint8_t *bytes, size_t length)
{
    uint8_t *copy = malloc(length + 1);
    if (copy == NULL) return false;
    memcpy(copy, bytes, length);
    return post((event_t){.kind = FRAME, .bytes = copy, .length = length});
}

bool rootcast_esp_mesh(const rootcast_mesh_t *mesh) { return post((event_t){.kind = MESH, .mesh = *mesh}); }

bool rootcast_esp_health(bool healthy) { return post((event_t){.kind = HEALTH, .yes = healthy}); }

static rootcast_reset_t reset_reason(void)
{
    switch (esp_reset_reason()) {
    case ESP_RST_SW: return ROOTCAST_RESET_SOFTWARE;
    case ESP_RST_PANIC: return ROOTCAST_RESET_PANIC;
    case ESP_RST_INT_WDT:
    case ESP_RST_TASK_WDT:
    case ESP_RST_WDT: return ROOTCAST_RESET_WATCHDOG;
    default: return ROOTCAST_RESET_POWER;
    }
}

esp_err_t rootcast_esp_start(const rootcast_esp_config_t *given)
{
    if (given == NULL || given->show == NULL || given->send_frame == NULL) return ESP_ERR_INVALID_ARG;
    config = *given;
    uint8_t mac[6];
    uint32_t flash_bytes = 0;
    esp_err_t error = esp_read_mac(mac, ESP_MAC_WIFI_STA);
    if (error == ESP_OK) error = esp_flash_get_size(NULL, &flash_bytes);
    if (error != ESP_OK) return error;
    uint64_t id = 0;
    for (int i = 0; i < 6; i++) id = id << 8 | mac[i];
    rootcast_platform_t platform = {
        .flash_bytes = flash_bytes, .flash_read = flash_read, .flash_write = flash_write, .flash_erase = flash_erase,
        .random = chance, .setting_load = setting_load, .setting_store = setting_store, .show = show,
        .send_frame = send_frame, .subscribe = subscribe, .publish = publish, .stream_open = stream_open,
        .stream_send = stream_send, .stream_close = stream_close, .restart = restart,
    };
    rootcast_settings_t settings = {
        .id = id, .node_type = config.node_type, .topic_prefix = config.topic_prefix,
        .vendor_domain = config.vendor_domain, .image_key_digests = config.image_key_digests,
        .image_key_count = config.image_key_count, .release_keys = config.release_keys,
        .release_key_count = config.release_key_count,
        .code_address = esp_ota_get_running_partition()->address, .chip = CONFIG_IDF_FIRMWARE_CHIP_ID,
        .reset = reset_reason(), .is_root = config.is_root, .allow_unsigned = config.allow_unsigned,
        .require_release = config.require_release, .needs_application_health = config.needs_application_health,
    };
    switch (rootcast_start(memory, sizeof memory, &platform, &settings, now_ms(), &node)) {
    case ROOTCAST_OK: break;
    case ROOTCAST_FLASH: return ESP_ERR_NOT_SUPPORTED;
    default: return ESP_ERR_INVALID_ARG;
    }
    events = xQueueCreate(QUEUE_LENGTH, sizeof(event_t));
    if (events == NULL || xTaskCreate(updater, "rootcast", STACK_BYTES, NULL, 5, NULL) != pdPASS) return ESP_ERR_NO_MEM;
    return ESP_OK;
}
