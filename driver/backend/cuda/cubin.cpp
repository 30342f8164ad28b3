#include "backend/cuda/cubin.h"

#include <elf.h>
#include <fmt/format.h>

#include <cstring>
#include <fstream>
#include <iterator>

namespace attune::cuda {
namespace {

/// NVIDIA CUDA architecture, in the registry of e_machine; older elf.h lack the name.
constexpr unsigned kCudaMachine = 190;

bool table_fits(std::uint64_t offset, std::uint64_t count, std::uint64_t entry_bytes, std::uint64_t size) {
    return offset <= size && count * entry_bytes <= size - offset;  // counts and entries are 16-bit: no overflow
}

}  // namespace

std::string cubin_defect(std::span<const std::byte> bytes) {
    Elf64_Ehdr header{};
    if (bytes.size() < sizeof header) return fmt::format("{} bytes are too few for a cubin", bytes.size());
    std::memcpy(&header, bytes.data(), sizeof header);
    if (std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0) return "not an ELF file";
    if (header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_machine != kCudaMachine) return "not a 64-bit CUDA image";
    if (!table_fits(header.e_shoff, header.e_shnum, header.e_shentsize, bytes.size()) ||
        !table_fits(header.e_phoff, header.e_phnum, header.e_phentsize, bytes.size())) {
        return "cut off: its tables lie past its end";
    }
    return {};
}

std::vector<std::byte> read_cubin(const std::filesystem::path& file, std::string& why) {
    std::ifstream stream(file, std::ios::binary);
    const std::string content{std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
    if (!stream) {
        why = "cannot be read";
        return {};
    }
    std::vector<std::byte> bytes(content.size());
    std::memcpy(bytes.data(), content.data(), content.size());
    why = cubin_defect(bytes);
    if (!why.empty()) bytes.clear();
    return bytes;
}

}  // namespace attune::cuda
