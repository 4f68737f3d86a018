/*
 * As much of ESP-IDF's interface as the component and its example use, over POSIX, libmosquitto and OpenSSL: flash is a
 * file, NVS a folder, the mesh UDP on loopback, a restart a new execution of the program. Names, types and meanings are
 * those of ESP-IDF 5; nothing here is part of the product.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/types.h>

/* sdkconfig.h; what menuconfig would ask comes from the environment */
#define CONFIG_IDF_FIRMWARE_CHIP_ID 5
#define CONFIG_EXAMPLE_NODE_TYPE getenv("NODE_TYPE")
#define CONFIG_EXAMPLE_BROKER_URI getenv("BROKER_URI")
#define CONFIG_EXAMPLE_CA_PEM host_ca_pem()
#define CONFIG_EXAMPLE_IS_ROOT (getenv("IS_ROOT") != NULL)
#define CONFIG_EXAMPLE_ROUTER_SSID "router"
#define CONFIG_EXAMPLE_ROUTER_PASSWORD "secret of the router"
const char *host_ca_pem(void);

/* esp_err.h */
typedef int esp_err_t;
#define ESP_OK 0
#define ESP_FAIL -1
#define ESP_ERR_NO_MEM 0x101
#define ESP_ERR_INVALID_ARG 0x102
#define ESP_ERR_NOT_SUPPORTED 0x106
#define ESP_ERR_NOT_ALLOWED 0x10D
#define ESP_ERROR_CHECK(x)                                                        \
    do {                                                                          \
        esp_err_t error_ = (x);                                                   \
        if (error_ != ESP_OK) {                                                   \
            fprintf(stderr, "%s:%d: error 0x%x\n", __FILE__, __LINE__, error_);   \
            abort();                                                              \
        }                                                                         \
    } while (0)

/* esp_log.h */
#define ESP_LOGI(tag, format, ...) printf("I %s: " format "\n", tag __VA_OPT__(, ) __VA_ARGS__)
#define ESP_LOGW(tag, format, ...) printf("W %s: " format "\n", tag __VA_OPT__(, ) __VA_ARGS__)

/* esp_flash.h */
typedef struct esp_flash_t esp_flash_t;
esp_err_t esp_flash_get_size(esp_flash_t *chip, uint32_t *size);
esp_err_t esp_flash_read(esp_flash_t *chip, void *into, uint32_t address, uint32_t length);
esp_err_t esp_flash_write(esp_flash_t *chip, const void *bytes, uint32_t address, uint32_t length);
esp_err_t esp_flash_erase_region(esp_flash_t *chip, uint32_t address, uint32_t length);

/* esp_partition.h, esp_ota_ops.h */
typedef enum { ESP_PARTITION_TYPE_APP = 0, ESP_PARTITION_TYPE_DATA = 1, ESP_PARTITION_TYPE_ANY = 0xFF } esp_partition_type_t;
typedef enum {
    ESP_PARTITION_SUBTYPE_APP_OTA_MIN = 0x10,
    ESP_PARTITION_SUBTYPE_APP_OTA_MAX = 0x20,
    ESP_PARTITION_SUBTYPE_DATA_OTA = 0,
    ESP_PARTITION_SUBTYPE_ANY = 0xFF,
} esp_partition_subtype_t;
typedef struct {
    esp_partition_type_t type;
    unsigned subtype;
    uint32_t address, size;
} esp_partition_t;
typedef struct host_iterator *esp_partition_iterator_t;
esp_partition_iterator_t esp_partition_find(esp_partition_type_t, esp_partition_subtype_t, const char *label);
esp_partition_iterator_t esp_partition_next(esp_partition_iterator_t);
const esp_partition_t *esp_partition_get(esp_partition_iterator_t);
void esp_partition_iterator_release(esp_partition_iterator_t);
const esp_partition_t *esp_ota_get_running_partition(void);

/* nvs.h, nvs_flash.h */
typedef uint32_t nvs_handle_t;
typedef enum { NVS_READONLY, NVS_READWRITE } nvs_open_mode_t;
esp_err_t nvs_flash_init(void);
esp_err_t nvs_open(const char *name_space, nvs_open_mode_t, nvs_handle_t *);
void nvs_close(nvs_handle_t);
esp_err_t nvs_get_blob(nvs_handle_t, const char *key, void *into, size_t *length);
esp_err_t nvs_set_blob(nvs_handle_t, const char *key, const void *bytes, size_t length);
esp_err_t nvs_commit(nvs_handle_t);

/* esp_mac.h, esp_random.h, esp_system.h, esp_timer.h */
typedef enum { ESP_MAC_WIFI_STA } esp_mac_type_t;
typedef enum { ESP_RST_POWERON = 1, ESP_RST_SW = 3, ESP_RST_PANIC, ESP_RST_INT_WDT, ESP_RST_TASK_WDT, ESP_RST_WDT } esp_reset_reason_t;
esp_err_t esp_read_mac(uint8_t *mac, esp_mac_type_t);
uint32_t esp_random(void);
esp_reset_reason_t esp_reset_reason(void);
void esp_restart(void) __attribute__((noreturn));
int64_t esp_timer_get_time(void);

/* freertos */
typedef int BaseType_t;
typedef uint32_t TickType_t;
typedef struct host_queue *QueueHandle_t;
typedef void *TaskHandle_t;
#define pdTRUE 1
#define pdFALSE 0
#define pdPASS 1
#define portMAX_DELAY 0xFFFFFFFFu
#define pdMS_TO_TICKS(ms) ((TickType_t)(ms))
QueueHandle_t xQueueCreate(unsigned length, unsigned bytes);
BaseType_t xQueueSend(QueueHandle_t, const void *, TickType_t);
BaseType_t xQueueReceive(QueueHandle_t, void *, TickType_t);
BaseType_t xTaskCreate(void (*)(void *), const char *name, uint32_t stack, void *, unsigned priority, TaskHandle_t *);
void vTaskDelay(TickType_t);

/* esp_event.h */
typedef const char *esp_event_base_t;
typedef void (*esp_event_handler_t)(void *, esp_event_base_t, int32_t, void *);
#define ESP_EVENT_ANY_ID -1
esp_err_t esp_event_loop_create_default(void);
esp_err_t esp_event_handler_register(esp_event_base_t, int32_t, esp_event_handler_t, void *);

/* mqtt_client.h */
typedef struct host_mqtt *esp_mqtt_client_handle_t;
typedef enum { MQTT_EVENT_CONNECTED = 1, MQTT_EVENT_DISCONNECTED, MQTT_EVENT_DATA = 6 } esp_mqtt_event_id_t;
typedef struct {
    char *data, *topic;
    int data_len, total_data_len, topic_len;
} esp_mqtt_event_t, *esp_mqtt_event_handle_t;
typedef struct {
    struct {
        struct { const char *uri; } address;
        struct { const char *certificate; esp_err_t (*crt_bundle_attach)(void *); } verification;
    } broker;
    struct { const char *username; struct { const char *password; } authentication; } credentials;
    struct { int size; } buffer;
} esp_mqtt_client_config_t;
esp_mqtt_client_handle_t esp_mqtt_client_init(const esp_mqtt_client_config_t *);
esp_err_t esp_mqtt_client_register_event(esp_mqtt_client_handle_t, int32_t, esp_event_handler_t, void *);
esp_err_t esp_mqtt_client_start(esp_mqtt_client_handle_t);
int esp_mqtt_client_subscribe(esp_mqtt_client_handle_t, const char *topic, int qos);
int esp_mqtt_client_enqueue(esp_mqtt_client_handle_t, const char *topic, const char *, int, int qos, int retain, bool store);
int esp_mqtt_client_get_outbox_size(esp_mqtt_client_handle_t);

/* esp_tls.h, esp_crt_bundle.h */
typedef struct esp_tls esp_tls_t;
typedef struct esp_tls *esp_tls_error_handle_t;
typedef struct {
    const unsigned char *cacert_buf;
    unsigned cacert_bytes;
    int timeout_ms;
    bool is_plain_tcp;
    esp_err_t (*crt_bundle_attach)(void *);
} esp_tls_cfg_t;
#define ESP_ERR_ESP_TLS_CANNOT_RESOLVE_HOSTNAME 0x8001
#define ESP_ERR_ESP_TLS_FAILED_CONNECT_TO_HOST 0x8004
#define ESP_ERR_ESP_TLS_CONNECTION_TIMEOUT 0x8006
#define ESP_TLS_ERR_SSL_WANT_READ -0x6900
#define ESP_TLS_ERR_SSL_WANT_WRITE -0x6880
esp_tls_t *esp_tls_init(void);
int esp_tls_conn_new_sync(const char *host, int length, int port, const esp_tls_cfg_t *, esp_tls_t *);
ssize_t esp_tls_conn_read(esp_tls_t *, void *, size_t);
ssize_t esp_tls_conn_write(esp_tls_t *, const void *, size_t);
ssize_t esp_tls_get_bytes_avail(esp_tls_t *);
esp_err_t esp_tls_get_conn_sockfd(esp_tls_t *, int *);
esp_err_t esp_tls_get_error_handle(esp_tls_t *, esp_tls_error_handle_t *);
esp_err_t esp_tls_get_and_clear_last_error(esp_tls_error_handle_t, int *code, int *flags);
int esp_tls_conn_destroy(esp_tls_t *);
esp_err_t esp_crt_bundle_attach(void *);

/* esp_netif.h, esp_wifi.h, esp_mesh.h */
typedef struct { int nothing; } wifi_init_config_t;
#define WIFI_INIT_CONFIG_DEFAULT() {0}
esp_err_t esp_netif_init(void);
esp_err_t esp_netif_create_default_wifi_mesh_netifs(void *, void *);
esp_err_t esp_wifi_init(const wifi_init_config_t *);
esp_err_t esp_wifi_start(void);
#define MESH_MTU 1500
#define MESH_DATA_P2P 0x02
#define MESH_DATA_NONBLOCK 0x10
extern const char *const MESH_EVENT;
enum { MESH_EVENT_STARTED, MESH_EVENT_STOPPED, MESH_EVENT_PARENT_CONNECTED = 7, MESH_EVENT_PARENT_DISCONNECTED };
typedef enum { MESH_IDLE, MESH_ROOT, MESH_NODE } mesh_type_t;
typedef enum { MESH_PROTO_BIN } mesh_proto_t;
typedef enum { MESH_TOS_P2P, MESH_TOS_E2E, MESH_TOS_DEF } mesh_tos_t;
typedef struct { uint8_t addr[6]; } mesh_addr_t;
typedef struct { uint8_t *data; uint16_t size; mesh_proto_t proto; mesh_tos_t tos; } mesh_data_t;
typedef struct { int nothing; } mesh_opt_t;
typedef struct { struct { uint8_t bssid[6]; } connected; } mesh_event_connected_t;
typedef struct {
    mesh_addr_t mesh_id;
    struct { uint8_t ssid_len, ssid[32], password[64]; } router;
    struct { uint8_t max_connection; } mesh_ap;
} mesh_cfg_t;
#define MESH_INIT_CONFIG_DEFAULT() {0}
esp_err_t esp_mesh_init(void);
esp_err_t esp_mesh_fix_root(bool);
esp_err_t esp_mesh_set_type(mesh_type_t);
esp_err_t esp_mesh_set_config(const mesh_cfg_t *);
esp_err_t esp_mesh_start(void);
bool esp_mesh_is_root(void);
int esp_mesh_get_layer(void);
esp_err_t esp_mesh_get_routing_table(mesh_addr_t *, int bytes, int *count);
esp_err_t esp_mesh_send(const mesh_addr_t *to, const mesh_data_t *, int flag, const mesh_opt_t *, int);
esp_err_t esp_mesh_recv(mesh_addr_t *from, mesh_data_t *, int timeout_ms, int *flag, mesh_opt_t *, int);
