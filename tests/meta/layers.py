"""Every #include "..." goes the way of an arrow in layers.txt."""
import fnmatch
import os
import re

import tree


def load():
    products, headers, layers = {}, {}, {}
    for line in tree.read("tests/meta/layers.txt").splitlines():
        line = line.split("#")[0].strip()
        if not line:
            continue
        kind, name, rest = re.fullmatch(r"(product|headers|layer) (\w+):(.*)", line).groups()
        if kind == "product":
            products[name] = rest.split()
        elif kind == "headers":
            headers[name] = rest.split()
        else:
            layers.setdefault(name, []).append(rest.split())
    return products, headers, layers


def layer_of(layers, product, module):
    """Index of the module's layer, 0 on top; exact names win over patterns."""
    for match in (lambda p: p == module, lambda p: fnmatch.fnmatchcase(module, p)):
        found = [i for i, layer in enumerate(layers[product]) if any(match(p) for p in layer)]
        if found:
            return found[0] if len(found) == 1 else None
    return None


def check_file(name, where, rules, problems):
    products, headers, layers = rules
    product, module = name.split("/")[0], os.path.splitext(os.path.basename(name))[0]
    mine = layer_of(layers, product, module) if product in layers else 0
    if mine is None:
        problems.append(f"{name}: stands in no layer, or in several, of tests/meta/layers.txt")
        return
    text = re.sub(r"/\*.*?\*/", lambda m: "\n" * m.group().count("\n"), tree.read(name), flags=re.S)
    for number, line in enumerate(text.splitlines(), 1):
        match = re.match(r'\s*#\s*include\s+"([^"]+)"', line)
        if not match:
            continue
        target, at = match.group(1), f"{name}:{number}"
        if "/" in target:  # a path from the root: only tables may be named that way
            if not target.endswith(".def") or not os.path.isfile(os.path.join(tree.ROOT, target)):
                problems.append(f"{at}: \"{target}\": only a .def table of another product may be included by path")
            continue
        owners = [p for p in [product] + products[product] if f"{p}/{target}" in where]
        if target.endswith("_embedded.h") or (not owners and target.endswith((".inc", ".c.h"))):
            continue  # generated at build time
        if not owners:
            problems.append(f"{at}: \"{target}\" is in none of {', '.join([product] + products[product])}")
            continue
        if owners[0] == "common" and product != "common" and target not in headers.get(product, [target]):
            problems.append(f"{at}: {product} may not use common/{target}")
        if owners[0] == product and product in layers and target.endswith(".h"):
            theirs = layer_of(layers, product, os.path.splitext(target)[0])
            if theirs is not None and theirs < mine:
                problems.append(f"{at}: \"{target}\" is a layer above {module}")


def main():
    rules = load()
    names = [n for n in tree.files(".c", ".h", ".def") if n.split("/")[0] in tree.PRODUCTS and n.count("/") == 1]
    problems = []
    for name in (n for n in names if not n.endswith(".def")):  # tables are read by anybody
        check_file(name, set(names), rules, problems)
    tree.report(problems, len(names), "files")


main()
