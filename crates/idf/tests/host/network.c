/* A network on a host: ESP-WIFI-MESH as UDP on loopback, ESP-MQTT over libmosquitto, ESP-TLS over OpenSSL. */
#define _GNU_SOURCE
#include "esp_idf_on_a_host.h"

#include <arpa/inet.h>
#include <mosquitto.h>
#include <netdb.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

unsigned host_index(void);

/* ----- mesh: node i listens on MESH_PORT + i; node 0 is the root ----- */

const char *const MESH_EVENT = "mesh";
static esp_event_handler_t on_mesh;
static int air = -1;

static unsigned of_environment(const char *name) { return (unsigned)atoi(getenv(name)); }

static struct sockaddr_in address_of(unsigned index)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET,
        .sin_port = htons((uint16_t)(of_environment("MESH_PORT") + index)),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
}

static const uint8_t *mac_of(unsigned index)
{
    static _Thread_local uint8_t mac[6];
    memcpy(mac, (uint8_t[]){2, 0, 0, 0, 0, (uint8_t)(2 * index + 2)}, 6);
    return mac;
}

esp_err_t esp_event_loop_create_default(void) { return ESP_OK; }
esp_err_t esp_netif_init(void) { return ESP_OK; }
esp_err_t esp_netif_create_default_wifi_mesh_netifs(void *a, void *b) { return a == b ? ESP_OK : ESP_FAIL; }
esp_err_t esp_wifi_init(const wifi_init_config_t *config) { return config != NULL ? ESP_OK : ESP_FAIL; }
esp_err_t esp_wifi_start(void) { return ESP_OK; }
esp_err_t esp_mesh_init(void) { return ESP_OK; }
esp_err_t esp_mesh_fix_root(bool fixed) { return fixed ? ESP_OK : ESP_FAIL; }
esp_err_t esp_mesh_set_type(mesh_type_t type) { return (type == MESH_ROOT) == esp_mesh_is_root() ? ESP_OK : ESP_FAIL; }
esp_err_t esp_mesh_set_config(const mesh_cfg_t *config) { return config->router.ssid_len > 0 ? ESP_OK : ESP_FAIL; }
bool esp_mesh_is_root(void) { return host_index() == 0; }
int esp_mesh_get_layer(void) { return (int)of_environment("LAYER"); }

esp_err_t esp_event_handler_register(esp_event_base_t base, int32_t id, esp_event_handler_t handler, void *argument)
{
    (void)id, (void)argument;
    if (base == MESH_EVENT) on_mesh = handler;
    return ESP_OK;
}

esp_err_t esp_mesh_start(void)
{
    on_mesh(NULL, MESH_EVENT, MESH_EVENT_STARTED, NULL);
    mesh_event_connected_t connected;
    memcpy(connected.connected.bssid, mac_of(of_environment("PARENT")), 6);
    connected.connected.bssid[5]++; /* the SoftAP's MAC */
    on_mesh(NULL, MESH_EVENT, MESH_EVENT_PARENT_CONNECTED, &connected);
    return ESP_OK;
}

/* Only the root has a table of the whole mesh. */
esp_err_t esp_mesh_get_routing_table(mesh_addr_t *table, int bytes, int *count)
{
    unsigned nodes = esp_mesh_is_root() ? of_environment("NODES") : 1;
    for (unsigned i = 0; i < nodes && (int)((i + 1) * sizeof *table) <= bytes; i++) {
        memcpy(table[i].addr, mac_of(esp_mesh_is_root() ? i : host_index()), 6);
        *count = (int)i + 1;
    }
    return ESP_OK;
}

static void bind_air(void)
{
    air = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in own = address_of(host_index());
    if (bind(air, (struct sockaddr *)&own, sizeof own) != 0) {
        perror("the mesh's port");
        abort();
    }
}

/* Whichever task is first to send or receive. */
static void open_air(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, bind_air);
}

/* As in ESP-WIFI-MESH, a missing destination means the root, and nobody else. */
esp_err_t esp_mesh_send(const mesh_addr_t *to, const mesh_data_t *data, int flag, const mesh_opt_t *options, int count)
{
    (void)flag, (void)options, (void)count;
    open_air();
    struct sockaddr_in address = address_of(to == NULL ? 0 : to->addr[5] / 2u - 1);
    return sendto(air, data->data, data->size, 0, (struct sockaddr *)&address, sizeof address) == data->size ? ESP_OK : ESP_FAIL;
}

esp_err_t esp_mesh_recv(mesh_addr_t *from, mesh_data_t *data, int timeout_ms, int *flag, mesh_opt_t *options, int count)
{
    (void)timeout_ms, (void)flag, (void)options, (void)count;
    open_air();
    struct sockaddr_in sender;
    socklen_t length = sizeof sender;
    ssize_t got = recvfrom(air, data->data, data->size, 0, (struct sockaddr *)&sender, &length);
    if (got < 0) return ESP_FAIL;
    memcpy(from->addr, mac_of(ntohs(sender.sin_port) - of_environment("MESH_PORT")), 6);
    data->size = (uint16_t)got;
    return ESP_OK;
}

/* ----- broker ----- */

struct host_mqtt {
    struct mosquitto *client;
    esp_event_handler_t handler;
    int port, waiting;
};

static void on_connect(struct mosquitto *client, void *of, int code)
{
    (void)client;
    struct host_mqtt *mqtt = of;
    if (code == 0) mqtt->handler(NULL, "mqtt", MQTT_EVENT_CONNECTED, NULL);
}

static void on_disconnect(struct mosquitto *client, void *of, int code)
{
    (void)client, (void)code;
    struct host_mqtt *mqtt = of;
    mqtt->handler(NULL, "mqtt", MQTT_EVENT_DISCONNECTED, NULL);
}

static void on_message(struct mosquitto *client, void *of, const struct mosquitto_message *message)
{
    (void)client;
    struct host_mqtt *mqtt = of;
    esp_mqtt_event_t event = {
        .data = message->payload, .data_len = message->payloadlen, .total_data_len = message->payloadlen,
        .topic = message->topic, .topic_len = (int)strlen(message->topic),
    };
    mqtt->handler(NULL, "mqtt", MQTT_EVENT_DATA, &event);
}

static void on_publish(struct mosquitto *client, void *of, int id)
{
    (void)client, (void)id;
    struct host_mqtt *mqtt = of;
    __atomic_sub_fetch(&mqtt->waiting, 1, __ATOMIC_SEQ_CST);
}

esp_mqtt_client_handle_t esp_mqtt_client_init(const esp_mqtt_client_config_t *config)
{
    struct host_mqtt *mqtt = calloc(1, sizeof *mqtt);
    if (sscanf(config->broker.address.uri, "mqtt://127.0.0.1:%d", &mqtt->port) != 1) return NULL;
    mosquitto_lib_init();
    mqtt->client = mosquitto_new(NULL, true, mqtt);
    mosquitto_connect_callback_set(mqtt->client, on_connect);
    mosquitto_disconnect_callback_set(mqtt->client, on_disconnect);
    mosquitto_message_callback_set(mqtt->client, on_message);
    mosquitto_publish_callback_set(mqtt->client, on_publish);
    return mqtt;
}

esp_err_t esp_mqtt_client_register_event(esp_mqtt_client_handle_t mqtt, int32_t id, esp_event_handler_t handler, void *argument)
{
    (void)id, (void)argument;
    mqtt->handler = handler;
    return ESP_OK;
}

esp_err_t esp_mqtt_client_start(esp_mqtt_client_handle_t mqtt)
{
    mosquitto_connect_async(mqtt->client, "127.0.0.1", mqtt->port, 30);
    return mosquitto_loop_start(mqtt->client) == MOSQ_ERR_SUCCESS ? ESP_OK : ESP_FAIL;
}

int esp_mqtt_client_subscribe(esp_mqtt_client_handle_t mqtt, const char *topic, int qos)
{
    return mosquitto_subscribe(mqtt->client, NULL, topic, qos) == MOSQ_ERR_SUCCESS ? 1 : -1;
}

int esp_mqtt_client_enqueue(esp_mqtt_client_handle_t mqtt, const char *topic, const char *data, int length, int qos, int retain, bool store)
{
    (void)store;
    __atomic_add_fetch(&mqtt->waiting, 1, __ATOMIC_SEQ_CST);
    return mosquitto_publish(mqtt->client, NULL, topic, length, data, qos, retain != 0) == MOSQ_ERR_SUCCESS ? 1 : -1;
}

int esp_mqtt_client_get_outbox_size(esp_mqtt_client_handle_t mqtt)
{
    return __atomic_load_n(&mqtt->waiting, __ATOMIC_SEQ_CST);
}

/* ----- TLS ----- */

struct esp_tls {
    int socket, flags;
    esp_err_t error;
    SSL_CTX *context;
    SSL *ssl;
};

const char *host_ca_pem(void)
{
    static char pem[16384];
    FILE *file = fopen(getenv("CA_FILE"), "rb");
    if (file == NULL) return NULL;
    pem[fread(pem, 1, sizeof pem - 1, file)] = 0;
    fclose(file);
    return pem;
}

esp_err_t esp_crt_bundle_attach(void *config) { return config == NULL ? ESP_FAIL : ESP_OK; }

esp_tls_t *esp_tls_init(void)
{
    esp_tls_t *tls = calloc(1, sizeof *tls);
    tls->socket = -1;
    return tls;
}

/* What mbedtls would say of the certificate (mbedtls/x509.h). */
static int flags_of(long verdict)
{
    switch (verdict) {
    case X509_V_OK: return 0;
    case X509_V_ERR_CERT_HAS_EXPIRED: return 0x01;
    case X509_V_ERR_CERT_NOT_YET_VALID: return 0x0200;
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH: return 0x04;
    default: return 0x08;
    }
}

static bool handshake(esp_tls_t *tls, const char *host, const esp_tls_cfg_t *config)
{
    tls->context = SSL_CTX_new(TLS_client_method());
    BIO *pem = BIO_new_mem_buf(config->cacert_buf, (int)config->cacert_bytes - 1);
    for (X509 *ca; (ca = PEM_read_bio_X509(pem, NULL, NULL, NULL)) != NULL; X509_free(ca))
        X509_STORE_add_cert(SSL_CTX_get_cert_store(tls->context), ca);
    BIO_free(pem);
    tls->ssl = SSL_new(tls->context);
    SSL_set_verify(tls->ssl, SSL_VERIFY_PEER, NULL);
    struct in_addr numeric;
    if (inet_pton(AF_INET, host, &numeric) == 1) X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(tls->ssl), host);
    else SSL_set1_host(tls->ssl, host);
    SSL_set_tlsext_host_name(tls->ssl, host);
    SSL_set_fd(tls->ssl, tls->socket);
    if (SSL_connect(tls->ssl) == 1) return true;
    tls->flags = flags_of(SSL_get_verify_result(tls->ssl));
    tls->error = ESP_FAIL;
    return false;
}

int esp_tls_conn_new_sync(const char *host, int length, int port, const esp_tls_cfg_t *config, esp_tls_t *tls)
{
    char name[256], service[8];
    snprintf(name, sizeof name, "%.*s", length, host);
    snprintf(service, sizeof service, "%d", port);
    struct addrinfo wanted = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM}, *found;
    if (getaddrinfo(name, service, &wanted, &found) != 0) {
        tls->error = ESP_ERR_ESP_TLS_CANNOT_RESOLVE_HOSTNAME;
        return -1;
    }
    tls->socket = socket(AF_INET, SOCK_STREAM, 0);
    int connected = connect(tls->socket, found->ai_addr, found->ai_addrlen);
    freeaddrinfo(found);
    if (connected != 0) {
        tls->error = ESP_ERR_ESP_TLS_FAILED_CONNECT_TO_HOST;
        return -1;
    }
    return config->is_plain_tcp || handshake(tls, name, config) ? 1 : -1;
}

ssize_t esp_tls_conn_read(esp_tls_t *tls, void *into, size_t room)
{
    if (tls->ssl == NULL) return recv(tls->socket, into, room, 0);
    int got = SSL_read(tls->ssl, into, (int)room);
    return got > 0 || SSL_get_error(tls->ssl, got) != SSL_ERROR_ZERO_RETURN ? got : 0;
}

ssize_t esp_tls_conn_write(esp_tls_t *tls, const void *bytes, size_t length)
{
    return tls->ssl == NULL ? send(tls->socket, bytes, length, MSG_NOSIGNAL) : SSL_write(tls->ssl, bytes, (int)length);
}

ssize_t esp_tls_get_bytes_avail(esp_tls_t *tls) { return tls->ssl == NULL ? 0 : SSL_pending(tls->ssl); }

esp_err_t esp_tls_get_conn_sockfd(esp_tls_t *tls, int *socket)
{
    *socket = tls->socket;
    return ESP_OK;
}

esp_err_t esp_tls_get_error_handle(esp_tls_t *tls, esp_tls_error_handle_t *handle)
{
    *handle = tls;
    return ESP_OK;
}

esp_err_t esp_tls_get_and_clear_last_error(esp_tls_error_handle_t tls, int *code, int *flags)
{
    *code = 0;
    *flags = tls->flags;
    return tls->error;
}

int esp_tls_conn_destroy(esp_tls_t *tls)
{
    if (tls->ssl != NULL) SSL_free(tls->ssl);
    if (tls->context != NULL) SSL_CTX_free(tls->context);
    if (tls->socket >= 0) close(tls->socket);
    free(tls);
    return 0;
}
