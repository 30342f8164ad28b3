#include "core/sha256.h"

#include <openssl/evp.h>

#include <array>
#include <cstdint>

#include "core/error.h"

namespace attune {

struct Sha256::Context {
    struct Free {
        void operator()(EVP_MD_CTX* context) const noexcept { EVP_MD_CTX_free(context); }
    };
    std::unique_ptr<EVP_MD_CTX, Free> evp{EVP_MD_CTX_new()};
};

Sha256::Sha256() : context_(std::make_unique<Context>()) {
    if (!context_->evp || EVP_DigestInit_ex(context_->evp.get(), EVP_sha256(), nullptr) != 1) {
        throw EnvironmentError("libcrypto offers no SHA-256; install libssl3");
    }
}

Sha256::~Sha256() = default;
Sha256::Sha256(Sha256&&) noexcept = default;
Sha256& Sha256::operator=(Sha256&&) noexcept = default;

void Sha256::update(std::span<const std::byte> bytes) {
    // Fails only on a context that was never initialised, which the constructor excludes.
    (void)EVP_DigestUpdate(context_->evp.get(), bytes.data(), bytes.size());
}

void Sha256::update_field(std::string_view text) {
    const std::uint64_t size = text.size();
    update(std::as_bytes(std::span(&size, 1)));
    update(text);
}

std::string Sha256::hex() {
    std::array<unsigned char, 32> digest{};
    (void)EVP_DigestFinal_ex(context_->evp.get(), digest.data(), nullptr);
    constexpr std::string_view kDigits = "0123456789abcdef";
    std::string text;
    text.reserve(2 * digest.size());
    for (const unsigned char byte : digest) {
        text += kDigits[byte >> 4U];
        text += kDigits[byte & 15U];
    }
    return text;
}

std::string sha256_hex(std::span<const std::byte> bytes) {
    Sha256 sha;
    sha.update(bytes);
    return sha.hex();
}

std::string sha256_hex(std::string_view text) {
    return sha256_hex(std::as_bytes(std::span(text)));
}

}  // namespace attune
