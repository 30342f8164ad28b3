namespace detail {

/// A shared object, closed at the end.
class Library {
  public:
    explicit Library(const std::string& path) : handle_(::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL)) {
        if (handle_ == nullptr) throw std::runtime_error(std::string("block_sparse_attn: ") + ::dlerror());
    }
    ~Library() {
        if (handle_ != nullptr) ::dlclose(handle_);
    }
    Library(Library&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
    Library& operator=(Library&& other) noexcept {
        std::swap(handle_, other.handle_);
        return *this;
    }

    using Entry = void (*)(const AttnArgs*);
    Entry entry(const char* name) const {
        void* symbol = ::dlsym(handle_, name);
        if (symbol == nullptr) throw std::runtime_error(std::string("block_sparse_attn: no entry ") + name);
        return reinterpret_cast<Entry>(symbol);
    }

  private:
    void* handle_;
};

}  // namespace detail

/// The package's kernels, loaded. Move-only; one thread at a time.
class Kernels {
  public:
    /// Loads every variant below `folder`, the package's. std::runtime_error when one does not load.
    explicit Kernels(const std::string& folder) {
        for (const detail::Variant& variant : detail::variants()) {
            Loaded& loaded = loaded_.emplace_back(detail::Library(folder + "/" + variant.file));
            for (const detail::Kernel& kernel : variant.kernels) {
                loaded.entries.push_back(loaded.library.entry(kernel.entry));
            }
        }
    }

    /// Computes o and lse. `v_abs_max` bounds |v| as far as the caller knows. std::invalid_argument when the shape is none
    /// of the operator's, or a variant takes only smaller v.
    void run(const Shape& shape, const Tensors& tensors, Family family = Family::unknown,
             double v_abs_max = detail::infinity()) {
        detail::check_shape(shape, tensors);
        const std::size_t index = detail::choose_variant(shape, family, v_abs_max);
        DeviceFacts facts;
        facts.sm_count = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
        const detail::Plan plan(detail::variants()[index], detail::Call(shape, facts));
        Loaded& loaded = loaded_[index];
        if (!loaded.workspace || !detail::same(loaded.shape, shape)) {
            // A kernel may expect zeros whenever its workspace is laid out anew.
            const auto bytes = static_cast<std::size_t>(plan.workspace_bytes);
            loaded.workspace.reset(::operator new(std::max<std::size_t>(bytes, 1), kAlignment));
            std::memset(loaded.workspace.get(), 0, bytes);
            loaded.shape = shape;
        }
        void* workspace = loaded.workspace.get();
        std::memset(workspace, 0, static_cast<std::size_t>(plan.clear_bytes));
        const AttnArgs args = detail::arguments(shape, tensors, workspace);
        for (const detail::Library::Entry entry : loaded.entries) entry(&args);
    }

  private:
    static constexpr std::align_val_t kAlignment{256};
    struct Free {
        void operator()(void* memory) const noexcept { ::operator delete(memory, kAlignment); }
    };
    struct Loaded {
        explicit Loaded(detail::Library opened) : library(std::move(opened)) {}
        detail::Library library;
        std::vector<detail::Library::Entry> entries;
        std::unique_ptr<void, Free> workspace;
        Shape shape;
    };
    std::vector<Loaded> loaded_;
};
