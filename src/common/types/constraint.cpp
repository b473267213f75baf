#include "common/types/constraint.hpp"

#include "common/base/quote.hpp"
#include "common/types/hostlist.hpp"
#include "common/types/idset.hpp"

namespace flux {

namespace {

struct Compiler {
    const ConstraintTree::OnLeaf &on_leaf;
    size_t nodes = 0;

    using Node = ConstraintTree::Node;
    using Kind = ConstraintTree::Kind;

    // An object with several operators wants them all.
    Expected<Node> object(const Json &json, size_t depth)
    {
        if (depth > max_constraint_depth)
            return fail(EINVAL, "constraint nested deeper than {}", max_constraint_depth);
        if (!json.is_object())
            return fail(EINVAL, "constraint: expected an object {{\"operator\":[values]}}, found {}",
                        json.type_name());
        Node all {Kind::all, 0, {}};
        for (auto [op, values] : json.members()) {
            auto node = operation(op, values, depth);
            if (!node)
                return node;
            if (json.size() == 1)
                return node;
            all.children.push_back(std::move(*node));
        }
        return all;
    }

    Expected<Node> operation(std::string_view op, const Json &values, size_t depth)
    {
        if (++nodes > max_constraint_nodes)
            return fail(EINVAL, "constraint of more than {} terms", max_constraint_nodes);
        if (!values.is_array())
            return fail(EINVAL, "constraint operator \"{}\": expected an array of values, found {}",
                        quoted(op, 40), values.type_name());
        Node node {Kind::leaf, 0, {}};
        if (op == "and")
            node.kind = Kind::all;
        else if (op == "or")
            node.kind = Kind::any;
        else if (op == "not")
            node.kind = Kind::none;
        if (node.kind == Kind::leaf) {
            auto leaf = on_leaf(op, values);
            if (!leaf)
                return std::unexpected(leaf.error());
            node.leaf = *leaf;
            return node;
        }
        for (auto value : values.elements()) {
            auto child = object(value, depth + 1);
            if (!child)
                return child;
            node.children.push_back(std::move(*child));
        }
        return node;
    }
};

Expected<ConstraintTest<ConstraintTarget>> compile_properties(std::string_view, const Json &values)
{
    struct Wanted {
        std::string name;
        bool present;
    };
    std::vector<Wanted> all;
    for (auto &value : values.as<std::vector<std::string>>()) {
        bool present = !value.starts_with('^');
        std::string name = present ? value : value.substr(1);
        if (name.empty() || name.find_first_of("!&'\"^`|()") != std::string::npos)
            return fail(EINVAL, "constraint: \"{}\" is not a property name", quoted(value, 80));
        all.push_back({std::move(name), present});
    }
    return [all](const ConstraintTarget &target) {
        for (const auto &wanted : all)
            if (target.has_property(wanted.name) != wanted.present)
                return false;
        return true;
    };
}

Expected<ConstraintTest<ConstraintTarget>> compile_hostlist(std::string_view, const Json &values)
{
    Hostlist hosts;
    for (const auto &value : values.as<std::vector<std::string>>())
        if (auto done = hosts.append(value); !done)
            return fail(EINVAL, "constraint: {}", done.error().text());
    return [hosts = HostIndex(hosts)](const ConstraintTarget &target) {
        return hosts.contains(target.hostname());
    };
}

Expected<ConstraintTest<ConstraintTarget>> compile_ranks(std::string_view, const Json &values)
{
    Idset ranks;
    for (const auto &value : values.as<std::vector<std::string>>()) {
        auto more = Idset::parse(value);
        if (!more)
            return fail(EINVAL, "constraint: {}", more.error().text());
        ranks |= *more;
    }
    return [ranks](const ConstraintTarget &target) {
        return ranks.contains(target.rank());
    };
}

} // namespace

Expected<ConstraintTree> ConstraintTree::compile(const Json &constraint, const OnLeaf &on_leaf)
{
    Compiler compiler {on_leaf};
    auto root = compiler.object(constraint, 0);
    if (!root)
        return std::unexpected(root.error());
    ConstraintTree tree;
    tree.root_ = std::move(*root);
    return tree;
}

std::unexpected<Error> unknown_constraint_operator(std::string_view op,
                                                   const std::vector<std::string_view> &known)
{
    return fail(EINVAL, "unknown constraint operator \"{}\" (use {}, and, or, not)", quoted(op, 40),
                fmt::join(known, ", "));
}

const ConstraintOperators<ConstraintTarget> &resource_constraint_operators()
{
    static const ConstraintOperators<ConstraintTarget> operators {
        {"properties", compile_properties},
        {"hostlist", compile_hostlist},
        {"ranks", compile_ranks},
    };
    return operators;
}

Expected<ResourceConstraint> compile_resource_constraint(const Json &json)
{
    return ResourceConstraint::compile(json, resource_constraint_operators());
}

Expected<void> validate_resource_constraint(const Json &json)
{
    auto compiled = compile_resource_constraint(json);
    if (!compiled)
        return std::unexpected(compiled.error());
    return {};
}

} // namespace flux
