"""Every sentence of the studio in English and Chinese: one table, from which labels and messages come.

Labels change with the page's language in the browser. A message is written in both languages at once, and the page shows the one that is
chosen, so that a change of the language needs no request.
"""

import html

from sfumato.core.text import printable

LANGUAGES = {"en": "en", "zh": "zh-CN"}
"""The languages, and the names that the browser knows them by."""


def text(key: str, language: str, **values: object) -> str:
    """The sentence called `key` in one language, with its values.

    >>> text("size", "en", width=4, height=3)
    '4 x 3 pixels'
    """
    sentence = WORDS[key][tuple(LANGUAGES).index(language)]
    return sentence.format(**values) if values else sentence


def both(key: str, **values: object) -> str:
    """The sentence in both languages as HTML; values are escaped, and those that are both languages themselves (`Both`) are not.

    >>> both("other_language")
    '<span lang="en">中文</span><span lang="zh-CN">English</span>'
    """
    return Both({language: text(key, language, **_escaped(values, language)) for language in LANGUAGES})


class Both(str):
    """HTML in both languages."""

    parts: dict[str, str]

    def __new__(cls, parts: dict[str, str]) -> "Both":
        """From the HTML in each language."""
        result = super().__new__(cls, "".join(f'<span lang="{LANGUAGES[key]}">{part}</span>' for key, part in parts.items()))
        result.parts = parts
        return result


def joined(sentences: list[str], separator: str = ", ") -> str:
    """Several sentences of `both` as one."""
    between = {"en": separator, "zh": {", ": "，"}.get(separator, separator)}
    return Both(
        {key: between[key].join(each.parts[key] if isinstance(each, Both) else escaped(each) for each in sentences) for key in LANGUAGES}
    )


def escaped(value: object) -> str:
    """A value as HTML, without control characters."""
    return html.escape(printable(str(value), lines=True))


def _escaped(values: dict[str, object], language: str) -> dict[str, object]:
    return {
        name: value if isinstance(value, int | float) else value.parts[language] if isinstance(value, Both) else escaped(value)
        for name, value in values.items()
    }


WORDS: dict[str, tuple[str, str]] = {
    "title": ("Sfumato studio", "Sfumato 工作室"),
    "local": ("Everything is computed on this machine. No picture leaves it.", "一切都在本机计算，图片不会离开这台机器。"),
    "other_language": ("中文", "English"),
    "dark": ("Light / dark", "浅色 / 深色"),
    "restore": ("Restore", "修复"),
    "generate": ("Generate", "生成"),
    "edit": ("Edit", "编辑"),
    "dream": ("Dream", "梦境"),
    "compress": ("Compress", "压缩"),
    "search": ("Search", "检索"),
    "train": ("Train", "训练"),
    "models": ("Models", "模型"),
    "size": ("{width} x {height} pixels", "{width} × {height} 像素"),
    # jobs
    "cancel": ("Cancel", "取消"),
    "waiting": ("Waiting: {count} before this.", "排队中：前面还有 {count} 个任务。"),
    "starting": ("Starting …", "正在启动……"),
    "running": ("{percent} % {text}", "已完成 {percent}%"),
    "running_left": ("{percent} % {text}, {left} left", "已完成 {percent}%，剩余 {left}"),
    "failed": ("Not done: {error}", "未完成：{error}"),
    "cancelled": ("Cancelled.", "已取消。"),
    "done": ("Done in {seconds:.1f} s.", "完成，用时 {seconds:.1f} 秒。"),
    "download": ("Download", "下载"),
    # restore
    "restore_hint": (
        "Drop one or several photographs: noise, blur, JPEG blocks, scratches, holes or few pixels.",
        "拖入一张或多张照片：噪点、模糊、JPEG 块效应、划痕、缺失或分辨率过低都可以修复。",
    ),
    "pictures": ("Pictures", "图片"),
    "found_title": ("What is wrong with it", "检测结果"),
    "task": ("Task", "任务"),
    "task_auto": ("Automatic", "自动"),
    "task_denoise": ("Remove noise", "去噪"),
    "task_deblur": ("Remove blur", "去模糊"),
    "task_inpaint": ("Fill in holes", "修补缺失"),
    "task_upscale": ("Enlarge", "放大"),
    "task_jpeg": ("Repair a JPEG", "修复 JPEG"),
    "strength": ("Strength", "强度"),
    "strength_info": ("0 keeps the picture, 1 is the network's output.", "0 表示原图，1 表示网络的输出。"),
    "scale": ("Enlargement", "放大倍数"),
    "quality": ("Quality", "质量"),
    "quality_standard": ("standard", "标准"),
    "quality_best": ("best, slower", "最佳（较慢）"),
    "find": ("Find and fill in", "查找并修补"),
    "find_scratches": ("scratches", "划痕"),
    "find_dead": ("dead pixels", "坏点"),
    "find_dust": ("dust", "灰尘"),
    "mask": ("Mask: paint over what is to be filled in", "蒙版：涂抹要修补的区域"),
    "mask_hint": (
        "For one picture. Painted places are filled in; the rest stays as it is.",
        "仅用于单张图片。涂抹处会被修补，其余部分保持不变。",
    ),
    "grow_mask": ("Grow the mask (pixels)", "扩大蒙版（像素）"),
    "invert_mask": ("Invert the mask", "反转蒙版"),
    "go_restore": ("Restore", "开始修复"),
    "before_after": ("Before and after", "修复前后对比"),
    "which": ("Picture", "图片"),
    "results": ("Restored files, with their metadata", "修复结果（保留元数据）"),
    "d_none": ("no estimate: the picture is too small", "图片太小，无法估计"),
    "d_noise": ("noise of {noise:.1f}/255", "噪声 {noise:.1f}/255"),
    "d_no_noise": ("no white noise", "无白噪声"),
    "d_salt": ("salt and pepper on {share:.1%}", "椒盐噪声占 {share:.1%}"),
    "d_jpeg": ("JPEG of quality {quality}", "JPEG 质量 {quality}"),
    "d_no_jpeg": ("no JPEG blocks", "无 JPEG 块效应"),
    "d_sharp": ("sharp", "清晰"),
    "d_gaussian": ("blur of {size:.1f} pixels", "模糊 {size:.1f} 像素"),
    "d_defocus": ("out of focus by {size:.1f} pixels", "失焦 {size:.1f} 像素"),
    "d_motion": ("motion of {size:.0f} pixels at {angle:.0f} degrees", "运动模糊 {size:.0f} 像素，方向 {angle:.0f}°"),
    "d_nothing": ("Nothing to repair.", "无需修复。"),
    "d_advice_denoise": ("Suggested: remove the noise.", "建议：去噪。"),
    "d_advice_deblur": ("Suggested: remove the blur.", "建议：去模糊。"),
    "d_advice_inpaint": ("Suggested: fill in the wrong places.", "建议：修补损坏处。"),
    "d_advice_jpeg": ("Suggested: repair the JPEG.", "建议：修复 JPEG。"),
    "d_advice_none": ("Nothing to repair is seen.", "未发现需要修复之处。"),
    "restored_counts": ("{done} restored, {failed} not.", "成功 {done} 张，失败 {failed} 张。"),
    # generate
    "generate_hint": (
        "Images from a generator. A seed always gives the same image. Click one to edit it.",
        "由生成模型产生图像，同一个种子总是得到同一张图。点击图像即可编辑。",
    ),
    "model": ("Model", "模型"),
    "label": ("Class", "类别"),
    "any_class": ("any", "不限"),
    "seed": ("First seed", "起始种子"),
    "count": ("Number of images", "图像数量"),
    "truncation": ("Truncation", "截断"),
    "truncation_info": ("Below 1: better images that vary less.", "小于 1：质量更高，但变化更少。"),
    "go_generate": ("Generate", "生成"),
    "images": ("Images", "图像"),
    "sheet": ("Sheet and archive", "总图与压缩包"),
    # edit
    "edit_hint": (
        "Begin with a seed or with your own picture; then move the sliders, mix, or drag a point.",
        "从种子或自己的图片开始，然后移动滑块、混合风格或拖动一个点。",
    ),
    "one_seed": ("Seed", "种子"),
    "begin": ("Show the image of the seed", "显示该种子的图像"),
    "own_picture": ("Your picture", "自己的图片"),
    "project_steps": ("Steps of the search", "搜索步数"),
    "go_project": ("Find my picture in the model", "在模型中寻找我的图片"),
    "image": ("Image", "图像"),
    "directions": ("Directions", "编辑方向"),
    "axis_1": ("Direction 1", "方向 1"),
    "axis_2": ("Direction 2", "方向 2"),
    "axis_3": ("Direction 3", "方向 3"),
    "axis_4": ("Direction 4", "方向 4"),
    "axis_5": ("Direction 5", "方向 5"),
    "axis_6": ("Direction 6", "方向 6"),
    "mixing": ("Mix with another seed", "与另一个种子混合"),
    "mix": ("Mix", "混合"),
    "mix_seed": ("Other seed", "另一个种子"),
    "mix_first": ("From layer (coarse)", "起始层（粗）"),
    "mix_last": ("To layer (fine)", "结束层（细）"),
    "apply": ("Apply", "应用"),
    "dragging": ("Drag a point", "拖动一个点"),
    "drag_hint": (
        "Click the image twice: first the point, then its target. Or write the pixels.",
        "在图像上点击两次：先选要移动的点，再选目标位置。也可以直接填写像素坐标。",
    ),
    "from_x": ("From x", "起点 x"),
    "from_y": ("From y", "起点 y"),
    "to_x": ("To x", "终点 x"),
    "to_y": ("To y", "终点 y"),
    "drag_steps": ("Steps", "步数"),
    "go_drag": ("Drag", "拖动"),
    "undo": ("Undo", "撤销"),
    "edit_files": ("Picture, latents and the JSON that repeats the edit", "图片、隐变量以及可重现编辑的 JSON"),
    "axes_named": ("{names}", "{names}"),
    "projected": ("PSNR {psnr:.1f} dB to your picture.", "与你的图片相比，PSNR 为 {psnr:.1f} dB。"),
    # dream
    "dream_hint": (
        "A network exaggerates what it sees. Without a picture the dream begins with noise.",
        "让网络夸大它看到的东西。不放图片时从噪声开始。",
    ),
    "picture": ("Picture", "图片"),
    "dream_model": ("Network", "网络"),
    "dream_default": ("SqueezeNet, else a bundled classifier", "SqueezeNet，若没有则用自带的分类网络"),
    "layers": ("Layers, such as conv2 or conv2:5 for one channel", "层，例如 conv2，或 conv2:5 表示单个通道"),
    "dream_class": ("Class to show", "要显示的类别"),
    "dream_strength": ("Strength of a step", "每步强度"),
    "dream_steps": ("Steps in each size", "每个尺寸的步数"),
    "octaves": ("Sizes", "尺寸数量"),
    "side": ("Side without a picture (pixels)", "无图片时的边长（像素）"),
    "go_dream": ("Dream", "开始"),
    "gallery": ("What a layer sees", "网络层看到的内容"),
    "go_gallery": ("Show channels of the layer", "显示该层的通道"),
    "gallery_hint": ("Click an image to dream of it.", "点击图像即可以它为目标。"),
    "channels": ("Channels", "通道数"),
    "dream_files": ("Picture, recipe and film of the steps", "图片、参数和过程动画"),
    "dreamt": ("Activation {before:.3g} → {after:.3g}.", "激活值 {before:.3g} → {after:.3g}。"),
    # compress
    "compress_hint": (
        "A picture by a learned codec, beside WebP and AVIF at no more bytes.",
        "用学习型编码器压缩图片，并与不超过同样字节数的 WebP 和 AVIF 比较。",
    ),
    "no_codec": (
        "No codec comes with Sfumato yet. Train one with <code>sfumato train codec --data photos/</code>, then start the studio with "
        "<code>--codec runs/photos</code>.",
        "Sfumato 目前不自带编码器。可用 <code>sfumato train codec --data photos/</code> 训练一个，再用 <code>--codec runs/photos</code> 启动工作室。",
    ),
    "rate": ("Quality (1 smallest file, 100 best picture)", "质量（1 文件最小，100 画质最好）"),
    "go_compress": ("Compress", "压缩"),
    "format": ("format", "格式"),
    "bytes": ("bytes", "字节"),
    "bpp": ("bits per pixel", "比特/像素"),
    "psnr": ("PSNR", "PSNR"),
    "compressed_file": ("Compressed file", "压缩文件"),
    # search
    "search_hint": (
        "Index pictures once, then look for pictures like one, or for groups.",
        "先为图片建立索引，再以图搜图或自动分组。",
    ),
    "folder": ("Folder of this machine", "本机文件夹"),
    "no_folder": ("none: the dropped pictures", "无：使用拖入的图片"),
    "no_folders": (
        "Folders of this machine are offered if the studio is started with <code>--folders</code>.",
        "用 <code>--folders</code> 启动工作室后，可以选择本机文件夹。",
    ),
    "embedder": ("Model that compares", "用于比较的模型"),
    "go_index": ("Make the index", "建立索引"),
    "indexed": ("{count} pictures in the index, {skipped} passed over.", "索引中有 {count} 张图片，跳过 {skipped} 张。"),
    "query": ("Look for pictures like this one", "查找与这张相似的图片"),
    "matches": ("Pictures that are shown", "显示数量"),
    "go_search": ("Search", "检索"),
    "group_count": ("Number of groups (0: chosen by stability)", "分组数量（0 表示自动）"),
    "go_groups": ("Group", "分组"),
    "grouped": ("{count} groups of {sizes} pictures.", "共 {count} 组，图片数为 {sizes}。"),
    "search_files": ("Index, matches, page of groups", "索引、结果与分组网页"),
    # train
    "train_hint": (
        "A training is a process of its own: it goes on if this page is closed or the studio ends.",
        "训练在独立进程中进行：关闭页面或工作室后仍会继续。",
    ),
    "recipe": ("Recipe", "配方"),
    "data": ("Pictures", "训练图片"),
    "budget": ("Time, such as 10min or 2h", "时间，例如 10min 或 2h"),
    "run_name": ("Name of the run", "训练名称"),
    "go_train": ("Start or continue", "开始或继续"),
    "stop": ("Stop and save", "停止并保存"),
    "runs": ("Trainings", "训练列表"),
    "curves": ("Curves", "曲线"),
    "sample": ("Newest samples", "最新样本"),
    "t_none": ("No training was started here yet.", "还没有在这里开始过训练。"),
    "t_running": ("Running: {images} of {total} images, {seconds} passed{left}.", "进行中：{images} / {total} 张图像，已用 {seconds}{left}。"),
    "t_left": (", {left} left", "，剩余 {left}"),
    "t_complete": ("Complete: {images} images in {seconds}. The model is {folder}.", "已完成：{images} 张图像，用时 {seconds}。模型在 {folder}。"),
    "t_stopped": ("Stopped after {images} images. Start it again to go on.", "已停止，共 {images} 张图像。再次开始即可继续。"),
    "t_begun": ("The training {name} was started.", "已开始训练 {name}。"),
    "t_stopping": ("The training saves its state and ends.", "正在保存状态并结束训练。"),
    "d_glyphs": ("drawn letters (built in)", "内置字母图像"),
    # models
    "models_hint": ("The bundled models, and those of your own runs.", "自带的模型，以及你自己训练的模型。"),
    "refresh": ("Refresh", "刷新"),
    "m_data": ("trained on {data}", "训练数据：{data}"),
    "m_terms": ("terms of the data: {terms}", "数据条款：{terms}"),
    "m_licence": ("licence: {licence}", "许可：{licence}"),
    "m_figures": ("Figures and their protocols", "指标与测量方法"),
    "m_nothing": ("nothing measured yet", "尚未测量"),
    "m_problem": ("cannot be read: {problem}", "无法读取：{problem}"),
    "m_length": ("{images} images, {minutes} min", "{images} 张图像，{minutes} 分钟"),
    "m_kind_generator": ("generates images", "生成图像"),
    "m_kind_restorer": ("restores pictures", "修复图片"),
    "m_kind_classifier": ("names classes", "分类"),
    "m_kind_codec": ("compresses pictures", "压缩图片"),
    "m_kind_other": ("", ""),
}
"""Each sentence in English and in Chinese."""
